"""Ports that are free and stay so until somebody listens there, and between two who do, one after the other."""

import socket
import sys


class ReservedPort:
    """`port` of 127.0.0.1 is given to nobody who asks for any port, and whoever asks for this one may listen there.

    It is bound and doesn't listen: so connections are refused. Only Linux lets somebody listen beside that; elsewhere
    the port is free, and nobody else's by luck alone.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform == "linux":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def close(self) -> None:
        """Anybody may have it. May be called twice, and is when nobody knows of it any more."""
        self._socket.close()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> int:
        return self.port

    def __exit__(self, *_: object) -> None:
        self.close()
