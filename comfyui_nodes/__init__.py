"""texbridge's nodes for ComfyUI: raw pixels out over the WebSocket, pictures in by HTTP into memory."""

from server import PromptServer

from . import autostart
from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from .routes import add_routes
from .version import VERSION

__version__ = VERSION
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

add_routes(PromptServer.instance.routes)


def _start_bridge():
    settings = autostart.read_settings()
    if settings is not None and settings.enabled:
        from comfy.cli_args import args

        url = autostart.own_url(args.listen, args.port, bool(args.tls_keyfile and args.tls_certfile))
        autostart.start(PromptServer.instance, settings, url)


_start_bridge()
