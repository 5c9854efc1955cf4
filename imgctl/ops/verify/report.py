"""What a verification leaves behind: a signed report, and the list of files that may go."""

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from imgctl.errors import StateError
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.pricing.lines import as_json
from imgctl.run.scratch import atomic_write, whole_file

# Skipped, and no photo of anybody's.
_NO_PHOTO = frozenset((Reason.SIDECAR, Reason.JUNK, Reason.NOT_AN_IMAGE, Reason.EMPTY))


class SignedReport:
    """JSON lines, the last of which signs all bytes before it: by HMAC-SHA256 with a secret, else by SHA-256 alone.

    `head -n -1 FILE | sha256sum` gives the digest again, `openssl dgst -sha256 -hmac SECRET` the signature.
    """

    def __init__(self, out: TextIO, secret: str) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self._signature = hmac.new(secret.encode(), digestmod=hashlib.sha256) if secret else None

    def add(self, record: Mapping[str, object]) -> None:
        """One line more."""
        line = json.dumps(record, default=as_json) + "\n"
        self._digest.update(line.encode())
        if self._signature:
            self._signature.update(line.encode())
        self._out.write(line)

    def sign(self) -> str:
        """Write the last line; returns its digest in hex."""
        digest = self._digest.hexdigest()
        signature = self._signature.hexdigest() if self._signature else None
        self._out.write(json.dumps({"type": "signature", "sha256": digest, "hmac_sha256": signature}) + "\n")
        return digest


@contextmanager
def signed_report(file: Path, secret: str) -> Iterator[SignedReport]:
    """A report that appears under its name when the block ends well; StateError where it cannot be written."""
    with whole_file(file) as out:
        yield SignedReport(out, secret)


class SafeList:
    """Paths that may go, each ended by a line feed, or by a NUL; `left_out` counts those that hold a line feed.

    Of the `archives` of the run one may go if every photo in it is safe and none was left out; what lies in it is not
    listed.
    """

    def __init__(self, out: BinaryIO, *, null: bool, archives: Sequence[str]) -> None:
        self.left_out = 0
        self._out = out
        self._end = b"\0" if null else b"\n"
        self._archives = dict.fromkeys(archives, False)
        self._kept: set[str] = set()

    def add(self, outcome: FileOutcome) -> None:
        """One file's fate."""
        path, safe = outcome.path, outcome.fate is Fate.PRESENT
        archive = next((one for one in self._archives if path == one or path.startswith(f"{one}/")), None)
        if archive is None:
            if safe:
                self._write(path)
        elif safe:
            self._archives[archive] = True
        elif outcome.fate is Fate.FAILED or outcome.reason not in _NO_PHOTO:
            self._kept.add(archive)

    def finish(self) -> None:
        """Every file has been told of: archives may go, too."""
        for archive, holds_any in self._archives.items():
            if holds_any and archive not in self._kept:
                self._write(archive)

    def _write(self, path: str) -> None:
        # In its own bytes; one that would read as two is left out.
        name = os.fsencode(path)
        if self._end in name:
            self.left_out += 1
        else:
            self._out.write(name + self._end)


@contextmanager
def safe_list(file: Path, *, null: bool, archives: Sequence[str]) -> Iterator[SafeList]:
    """A list that appears under its name when the block ends well; StateError where it cannot be written."""
    try:
        with atomic_write(file) as new, new.open("wb") as out:
            yield SafeList(out, null=null, archives=archives)
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror or error}", hint="free some space there") from None
