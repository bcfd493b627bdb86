"""What `texbridge doctor` finds and concludes: this machine, a ComfyUI, a running bridge, the test card."""
