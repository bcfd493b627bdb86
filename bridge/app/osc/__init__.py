"""The bridge as OSC senders see it: controls and maps in, feedback and news out, and who looks at it."""
