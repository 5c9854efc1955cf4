"""Free ports on loopback."""

import socket


def free_port() -> int:
    """Return a port of this machine on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port
