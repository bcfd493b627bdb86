"""The pack's version and the limits that it tells in `/texbridge/info`. Imports nothing."""

VERSION = "0.1.0"

WIRE = 1
"""Version of the event's header and of the routes; see protocols/comfyui-nodes.md in texbridge."""
