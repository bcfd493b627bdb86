"""Wiring: the loop that turns events into commands, and the doors it opens."""
