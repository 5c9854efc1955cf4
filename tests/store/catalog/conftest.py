"""Fixtures of the catalog's tests."""

import pytest

from tests.parts.ports import free_port


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which no process listens."""
    return free_port()
