"""ComfyUI-side I/O."""
