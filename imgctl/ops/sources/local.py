"""Files and directories of this machine."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from imgctl.errors import os_reason
from imgctl.imaging.source import on_disk
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.sources.base import Read, Rules, SourceFile, is_streamed
from imgctl.ops.sources.walk import classified, name_of, refused, walk
from imgctl.regular_files import regular

PIECE = 2**20


class LocalFiles:
    """The files at or below some paths of this machine; see Source."""

    spools = False

    def __init__(self, paths: Sequence[str] = (), *, sidecars: SidecarFiles | None = None) -> None:
        self.sidecars = (sidecars or SidecarFiles()).unpacked_apart(paths)
        self._paths = paths

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Yield the files; hidden paths of the user are taken, but not system junk, because `upload *` names it too."""
        for path in self._paths:
            name = name_of(path)
            try:
                info = os.stat(path)  # noqa: PTH116  # a str keeps bytes that are no UTF-8
            except (OSError, ValueError) as error:
                yield refused(path, error)
                continue
            directory = stat.S_ISDIR(info.st_mode)
            if (skipped := rules.skip_named(path, name, directory=directory)) is not None:
                yield skipped
            elif directory:
                yield from walk(path, rules, self)
            else:
                yield classified(path, name, info, rules, self)

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        try:
            read = _as_found(found, recogniser) or _as_it_is(found, recogniser)
        except OSError as error:
            return unreadable(found.path, error)
        if read is None:
            detail = "changed while reading; run the same command again when nothing writes to it"
            return FileOutcome.failed(found.path, Reason.CHANGED, detail)
        return read

    def identity(self, found: SourceFile) -> bytes:
        return os.fsencode(os.path.abspath(found.path))  # noqa: PTH100


def unreadable(path: str, error: OSError) -> FileOutcome:
    """Return the outcome of a file that vanished after the walk, or that cannot be read."""
    detail = f"{os_reason(error)}; check the file and run the same command again"
    reason = Reason.NOT_FOUND if isinstance(error, FileNotFoundError) else Reason.UNREADABLE
    return FileOutcome.failed(path, reason, detail)


def _as_found(found: SourceFile, recogniser: Recogniser) -> Read | None:
    """Read a file in one call; None if it is streamed, or changed since the walk. The fast path, for most files."""
    if is_streamed(found, found.size, recogniser):
        return None
    descriptor = regular(found.path)
    try:
        body = os.read(descriptor, found.size + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (len(body), after.st_size, after.st_mtime_ns) != (found.size, found.size, found.mtime_ns):
        return None
    header = recogniser.recognise(body, found.file_name)
    return Read(found=found, size=len(body), body=body, header=header, sha256=hashlib.sha256(body).digest())


def _as_it_is(found: SourceFile, recogniser: Recogniser) -> Read | None:
    """Read a file that is streamed, or that changed since the walk; None if it changes meanwhile."""
    with open(found.path, "rb", buffering=0, opener=regular) as file:  # a str keeps bytes that are no UTF-8
        before = os.fstat(file.fileno())
        streamed = is_streamed(found, before.st_size, recogniser)
        head = file.read(PIECE) if streamed else file.read()
        # The metadata is read before the file is hashed, so that a large file that is not a picture is never hashed.
        source = on_disk(file.fileno(), before.st_size, head=head) if streamed else head
        header, digest = recogniser.recognise(source, found.file_name), hashlib.sha256(head)
        while streamed and (piece := file.read(PIECE)):
            digest.update(piece)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    size = before.st_size if streamed else len(head)
    body = Path(found.path) if streamed else head
    return Read(found=found, size=size, body=body, header=header, sha256=digest.digest())
