"""The number of tries of a random test: few in `make test`, many in `make soak`."""

import os

SOAK = "IMGCTL_SOAK"


def is_soak() -> bool:
    """Whether this is a run of `make soak`."""
    return bool(os.environ.get(SOAK))


def rounds(quick: int, soak: int) -> int:
    """`quick`, or `soak` in a run of `make soak`."""
    return soak if is_soak() else quick
