"""Every error imgctl raises on purpose, and the exit code each one ends with.

ImgctlError                 1  something went wrong; the message says what, the hint says what to do
├── UsageError              2  invalid command line
├── ConfigError             2  a setting is missing, misspelt or impossible
├── CatalogError            1  database error
│   ├── CatalogUnavailable  1  unreachable; the same command later finishes the work
│   ├── ImageMissing        1  no row has this id
│   └── SchemaNotCurrent    5  the tables are missing or of another version
├── StoreError              1  the object store rejected or failed a request
│   ├── StoreUnavailable    1  unreachable, or throttled (503 SlowDown)
│   ├── StoreDenied         1  credentials or policy forbid it
│   ├── BucketMissing       1  the bucket or directory does not exist
│   ├── StoreFull           1  no space left where the blobs go
│   ├── BlobExists          1  put-if-absent: the key already exists
│   ├── BlobMissing         1  no blob has this key
│   ├── BlobArchived        1  the blob is in an archive class and must be restored first
│   ├── BlobCorrupt         1  the received bytes differ from the sent bytes
│   └── StoreUnsupported    1  the server does not implement the request (501)
├── StateError              1  the local state of earlier runs cannot be read or written
├── KeyShapeError           1  a key that imgctl did not make
├── NotAnImage              1  no decoder recognises this content
├── FormatUnsupported       1  a picture, raw or film of an unsupported format
├── ImageRejected           1  a picture beyond the limits, or one no decoder can finish
├── LocalError              1  this machine lacks what an image needs; others may have it
│   ├── NoRoom              1  no room for an original in the temporary directory
│   └── DecoderMissing      1  the decoder of a supported format is not installed here, or broken
├── WorkerError             1  the worker pool cannot run (not for a single failed picture)
└── Interrupted             130  a signal ended a run that waited for the catalog or the store; 0 or 3 for a service
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

NO_FILES_LEFT_HINT = "raise the limit of open files: ulimit -Hn 1024, or LimitNOFILE= of the unit"
_NO_FILES_LEFT = (errno.EMFILE, errno.ENFILE)
# The next steps for conditions of the machine, which may end any call.
_MACHINE_HINTS = {
    errno.ENOSPC: "free space there; TMPDIR sets the directory of temporary files",
    errno.EDQUOT: "raise the quota there; TMPDIR sets the directory of temporary files",
    errno.EFBIG: "raise the limit of file sizes: ulimit -f",
    errno.EROFS: "mount the file system writable",
    errno.EIO: "check the disk; `dmesg` lists its errors",
    errno.EACCES: "give this user the right to read and write there",
    errno.EPERM: "give this user the right to read and write there",
    errno.ENOMEM: "free memory on this machine, or run fewer processes",
    **dict.fromkeys(_NO_FILES_LEFT, NO_FILES_LEFT_HINT),
}
# As obstore reports them.
_NO_FILES_LEFT_TEXT = re.compile(rf"os error (?:{errno.EMFILE}|{errno.ENFILE})\b")


class ExitCode(IntEnum):
    """The exit codes; the table is in docs/reference/exit-codes.md and at the end of each `--help`."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    PARTLY = 3
    FINDINGS = 4
    SCHEMA = 5
    INTERRUPTED = 130
    CUT_OFF = 141


class ImgctlError(Exception):
    """An error with a next step: `str(error)` is one line, `hint` says what to do about it."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries; the default would drop the keyword-only hint.
        return (_rebuild, (type(self), self.message, self.hint))

    @property
    def line(self) -> str:
        """The message and the next step in one line."""
        text = f"{self.message} ({self.hint})" if self.hint else self.message
        return " ".join(text.split())


def _rebuild(kind: type[ImgctlError], message: str, hint: str) -> ImgctlError:
    return kind(message, hint=hint)


class UsageError(ImgctlError):
    """The command line is invalid."""

    exit_code = ExitCode.USAGE


class ConfigError(ImgctlError):
    """A setting is missing, misspelt or impossible."""

    exit_code = ExitCode.USAGE


class CatalogError(ImgctlError):
    """Database error."""


class CatalogUnavailable(CatalogError):
    """The database is unreachable; the same command later finishes the work."""


class ImageMissing(CatalogError):
    """No row has this id."""


class SchemaNotCurrent(CatalogError):
    """The catalog's tables are missing or of another version."""

    exit_code = ExitCode.SCHEMA


class StoreError(ImgctlError):
    """The object store rejected or failed a request."""


class StoreUnavailable(StoreError):
    """The object store is unreachable, or throttles (503 SlowDown)."""


class StoreDenied(StoreError):
    """Credentials or policy forbid the request."""


class BucketMissing(StoreError):
    """The bucket or directory does not exist."""


class StoreFull(StoreError):
    """No space is left where the blobs go."""


class BlobExists(StoreError):
    """A put-if-absent failed because the key already exists."""


class BlobMissing(StoreError):
    """No blob has this key."""


class BlobArchived(StoreError):
    """The blob is in an archive class and must be restored before it can be read."""


class BlobCorrupt(StoreError):
    """The received bytes differ from the sent bytes."""


class StoreUnsupported(StoreError):
    """The server does not implement the request, or one of its headers."""


class StateError(ImgctlError):
    """The local state of earlier runs cannot be read or written."""


class KeyShapeError(ImgctlError):
    """A key that imgctl did not make."""


class NotAnImage(ImgctlError):
    """No decoder recognises this content."""


class FormatUnsupported(ImgctlError):
    """A picture, camera raw or film of an unsupported format, `format_name`."""

    def __init__(self, message: str, *, hint: str = "", format_name: str = "") -> None:
        super().__init__(message, hint=hint)
        self.format_name = format_name


class ImageRejected(ImgctlError):
    """A picture beyond the limits, or one that no decoder can finish."""


class LocalError(ImgctlError):
    """This machine lacks what an image needs; others may have it, or this one later."""


class NoRoom(LocalError):
    """The temporary directory has no room for an original."""


class DecoderMissing(LocalError):
    """The decoder of a supported format, `format_name`, is not installed on this machine, or cannot be loaded."""

    def __init__(self, message: str, *, hint: str = "", format_name: str = "") -> None:
        super().__init__(message, hint=hint)
        self.format_name = format_name


class WorkerError(ImgctlError):
    """The worker pool cannot run; not raised for a single failed picture."""


class Interrupted(ImgctlError):
    """A signal ended a run while it waited for an unreachable catalog or store; it ends with `code`."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, message: str, *, hint: str = "", code: ExitCode = ExitCode.INTERRUPTED) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = code


def unexpected(error: BaseException) -> ImgctlError:
    """Return the error to print for one that nothing handles: a condition of the machine with its next step, or a defect."""
    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if isinstance(error, OSError) and (hint := _MACHINE_HINTS.get(error.errno or 0)):
        where = f"{error.filename}: " if error.filename else ""
        return ImgctlError(f"{where}{error.strerror}", hint=f"{hint}, then run the same command again; -v shows where")
    return ImgctlError(f"unexpected {type(error).__name__}: {error}", hint="-v shows where; please report it")


def os_reason(error: OSError) -> str:
    """Return the system's message, for the middle of a sentence."""
    return (error.strerror or str(error)).lower()


@contextmanager
def usable(place: object, hint: str) -> Iterator[None]:
    """Raise UsageError for an OSError of the block: a file or directory that the user named cannot be used."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{place}: {os_reason(error)}", hint=hint) from None


def out_of_files(error: BaseException) -> bool:
    """Whether an error or one of its causes is that no file descriptors are left: of the process, or of the machine."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _NO_FILES_LEFT:
            return True
        if _NO_FILES_LEFT_TEXT.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
