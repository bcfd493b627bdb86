"""texbridge's nodes for ComfyUI: raw pixels out over the WebSocket, pictures in by HTTP into memory."""

from server import PromptServer

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from .routes import add_routes
from .version import VERSION

__version__ = VERSION
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

add_routes(PromptServer.instance.routes)
