"""The kernel's limits of inotify: watchfiles leaves out directories beyond them without an error."""

import ctypes
import errno
import os

_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
# A deletion of the directory itself: rare, so that the watch causes no event.
_IN_DELETE_SELF = 0x400


def is_used_up(directory: str) -> bool:
    """Whether this user may watch no further directory; False if the system cannot tell.

    A process cannot read which of its directories are watched, but only try one more.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        return False
    descriptor = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
    if descriptor < 0:
        return False
    try:
        watched = libc.inotify_add_watch(descriptor, os.fsencode(directory), _IN_DELETE_SELF)
        return watched < 0 and ctypes.get_errno() == errno.ENOSPC
    finally:
        os.close(descriptor)
