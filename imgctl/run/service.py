"""Notifications to systemd (sd_notify): ready, alive, stopping. Without systemd they do nothing.

Protocol: sd_notify(3). The unit sets Type=notify and WatchdogSec=; systemd ends a service that misses its watchdog.
"""

import os
import socket
import time
from contextlib import suppress

_SOCKET = "NOTIFY_SOCKET"
_spoken = 0.0
# Frequent enough for any WatchdogSec from 4 s on, and cheap for a loop that runs a thousand times a second.
_SILENCE_SECONDS = 1.0


def ready() -> None:
    """Notify systemd that the service is ready."""
    _notify("READY=1")


def stopping() -> None:
    """Notify systemd that the service is finishing its work in flight; takes no lock, so signal handlers may call it."""
    _notify("STOPPING=1")


def alive() -> None:
    """Notify the watchdog that the main loop runs: only from the watched process, at most once a second."""
    global _spoken  # noqa: PLW0603 - there is one service manager a process
    if os.environ.get("WATCHDOG_PID") != str(os.getpid()):
        return
    now = time.monotonic()
    if now - _spoken >= _SILENCE_SECONDS:
        _spoken = now
        _notify("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """Return the longest interval between two `alive` calls of a loop that sleeps; None without a watchdog."""
    if os.environ.get("WATCHDOG_PID") != str(os.getpid()):
        return None
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3 or None


def _notify(state: str) -> None:
    address = os.environ.get(_SOCKET, "")
    if not address:
        return
    # An @ stands for the zero byte of an abstract address. A failed notification must not end a run.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
        named = "\0" + address[1:] if address.startswith("@") else address
        notify_socket.sendto(state.encode(), socket.MSG_DONTWAIT, named)
