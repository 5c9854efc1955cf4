"""What systemd is told of a service (sd_notify): that it is ready, alive, stopping. Without systemd nothing happens.

Protocol: sd_notify(3). A unit has Type=notify and WatchdogSec=; the latter ends a service that has not said it is alive.
"""

import os
import socket
import time
from contextlib import suppress

_SOCKET = "NOTIFY_SOCKET"
_spoken = 0.0
# Often enough for any WatchdogSec from 4 s on, and no burden to a loop that turns a thousand times a second.
_SILENCE_SECONDS = 1.0


def ready() -> None:
    """It works now."""
    _tell("READY=1")


def stopping() -> None:
    """It was asked to stop, and finishes what is in flight; takes no lock, so a signal handler may call it."""
    _tell("STOPPING=1")


def alive() -> None:
    """Its main loop turns; said by the process that systemd watches, and at most once a second."""
    global _spoken  # noqa: PLW0603 - there is one service manager a process
    if os.environ.get("WATCHDOG_PID") != str(os.getpid()):
        return
    now = time.monotonic()
    if now - _spoken >= _SILENCE_SECONDS:
        _spoken = now
        _tell("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """How often at least a loop that sleeps must wake to say that it is alive; None where nobody listens."""
    if os.environ.get("WATCHDOG_PID") != str(os.getpid()):
        return None
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3 or None


def _tell(state: str) -> None:
    address = os.environ.get(_SOCKET, "")
    if not address:
        return
    # An @ stands for the zero byte of an abstract address. Nothing that systemd does not take may end a run.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        named = "\0" + address[1:] if address.startswith("@") else address
        told.sendto(state.encode(), socket.MSG_DONTWAIT, named)
