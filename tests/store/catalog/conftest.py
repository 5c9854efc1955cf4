"""Fixtures of the catalog's tests."""

import socket

import pytest


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
