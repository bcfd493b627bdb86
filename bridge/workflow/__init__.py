"""Workflow templates and the parameters bound into them: pure, files come in as bytes."""
