"""How far an audit has come, and what it has found, in two files: the next audit of the same archive continues there."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self
from uuid import UUID

from imgctl.errors import StateError, UsageError
from imgctl.jsontext import parse_json
from imgctl.ops.audit.findings import Finding, from_record
from imgctl.ops.audit.options import AuditOrder
from imgctl.ops.common.checkpoint import counted, load_state, save_state


class Checkpoint:
    """The progress of an audit: everything up to `after` is done, and `rows` and `blobs` were read for it.

    Findings up to there lie in a second file, so that the run that ends the audit reports all of them. Without a file it
    keeps nothing. StateError for a checkpoint of another audit, and while another audit uses it.
    """

    def __init__(self, order: AuditOrder, places: Mapping[str, str]) -> None:
        self.after: UUID | None = None
        self.rows = self.blobs = 0
        self._file = order.checkpoint
        self._question = _question(order, places)
        self._kept_bytes = 0
        self._kept: BinaryIO | None = None
        if self._file is not None:
            self._beside = self._file.with_name(f"{self._file.name}.findings")
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()

    def found(self) -> Iterator[Finding]:
        """Yield the findings of the earlier runs, in their order."""
        if not self._kept_bytes:
            return
        # Not by the file that is written to: its place would move.
        with self._beside.open("rb") as kept:
            while kept.tell() < self._kept_bytes:
                try:
                    yield from_record(parse_json(kept.readline()))
                except (ValueError, UsageError):
                    hint = f"delete {self._file} to begin anew"
                    raise StateError(f"{self._beside} cannot be read", hint=hint) from None

    def add(self, findings: Sequence[Finding]) -> None:
        """Keep findings; they count once `passed` says that their segment is done."""
        if self._kept is None:
            return
        try:
            for one in findings:
                self._kept.write(json.dumps(one.record()).encode() + b"\n")
        except OSError as error:
            raise self._unwritable(error) from None

    def passed(self, until: UUID | None, *, rows: int, blobs: int) -> None:
        """Record that everything up to this id is done; `rows` and `blobs` were read for it."""
        self.rows, self.blobs = self.rows + rows, self.blobs + blobs
        if self._file is None or self._kept is None or until is None:
            return
        try:
            self._kept.flush()
            os.fsync(self._kept.fileno())
        except OSError as error:
            raise self._unwritable(error) from None
        state = {"question": self._question, "after": str(until), "rows": self.rows, "blobs": self.blobs}
        save_state(self._file, state | {"findings_bytes": self._kept.tell()})

    def done(self) -> None:
        """Remove the files: the next audit starts at the first row."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
            self._beside.unlink(missing_ok=True)

    def _open(self) -> None:
        assert self._file is not None
        if self._file.exists() and not self._file.is_file():
            raise StateError(f"the checkpoint {self._file} is not a file", hint="name another one")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Positioned by hand: "a" would ignore where the kept findings end.
            self._kept = os.fdopen(os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b")
            _lock(self._kept, self._file)
            load_state(self._file, self._resume)
            if self._beside.stat().st_size < self._kept_bytes:
                raise StateError(
                    f"{self._beside} lacks findings of the earlier run", hint=f"delete {self._file} to begin anew"
                )
            self._kept.truncate(self._kept_bytes)
            self._kept.seek(self._kept_bytes)
        except OSError as error:
            raise self._unwritable(error) from None
        except StateError:
            self.__exit__()
            raise

    def _resume(
        self,
        question: str,
        after: str,
        rows: int,
        blobs: int = 0,
        findings_bytes: int = 0,
        codes: Mapping[str, object] | None = None,
    ) -> None:
        if question != self._question:
            message = f"the checkpoint {self._file} is of another archive, or of an audit with other options"
            raise StateError(message, hint="delete it, or name another file")
        if codes:
            raise StateError(
                f"the checkpoint {self._file} of an older imgctl has no findings", hint="delete it to begin anew"
            )
        self.after, self.rows, self.blobs, self._kept_bytes = UUID(after), *map(counted, (rows, blobs, findings_bytes))

    def _unwritable(self, error: OSError) -> StateError:
        return StateError(
            f"{self._beside} cannot be written: {error.strerror or error}", hint="check the rights and the space there"
        )


def _lock(kept: BinaryIO, file: Path) -> None:
    try:
        fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(
            f"another audit uses the checkpoint {file}", hint="wait for its end, or name another file"
        ) from None
    except OSError:
        # This file system has no locks.
        return


def _question(order: AuditOrder, places: Mapping[str, str]) -> str:
    """Return a digest of the archive and the options that two runs must share to be one audit."""
    scope = order.chosen.scope
    parts = (scope.since, scope.until, order.classes, order.stale, order.inventory, *places.values())
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
