"""Engine-side doors: OSC, WebSocket, TCP, HTTP."""
