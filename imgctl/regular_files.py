"""Opening regular files: a pipe or a device that took a file's place never blocks whoever reads it."""

import errno
import os
import stat


def regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY | os.O_CLOEXEC) -> int:
    """Open a regular file, also as the `opener` of `open`; OSError for anything else."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK)
    except BlockingIOError:
        # Somebody (Samba, say) has a lease on it, as only regular files may: opening waits until that is given back.
        descriptor = os.open(path, flags)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
