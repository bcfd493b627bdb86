"""A TCP port for a program that listens there later, or again: nobody else gets it meanwhile."""

import contextlib
import socket
import sys


@contextlib.contextmanager
def kept_port():
    """A port of 127.0.0.1 at which nobody listens yet.

    A port that is merely free may be another test's a moment later. On Linux a bound socket that doesn't listen keeps
    it: who asks for any port, or connects, is given another one, and who asks for this one with SO_REUSEADDR, as every
    server here does, may listen. Elsewhere the port is only free.
    """
    with socket.socket() as keeper:
        if sys.platform == "linux":
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port = keeper.getsockname()[1]
        if sys.platform != "linux":
            keeper.close()
        yield port
