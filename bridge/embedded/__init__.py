"""A small ComfyUI-compatible server for a machine without one. Imports nothing of the rest of the bridge."""
