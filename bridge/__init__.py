"""texbridge: a real-time relay between game engines and ComfyUI."""

from typing import Final

__version__: Final = "0.1.0"
