"""How often a test of chance tries: few times in `make test`, many in `make soak`."""

import os

SOAK = "IMGCTL_SOAK"


def rounds(quick: int, soak: int) -> int:
    """`quick`, or `soak` in a run of `make soak`."""
    return soak if os.environ.get(SOAK) else quick
