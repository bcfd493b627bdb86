"""The ComfyUIs that the bridge uses: which there are, what each can do, warming, restarting, emptying them."""
