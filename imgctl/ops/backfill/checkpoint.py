"""How far a run came that does again what is done already: without it a killed `--force` would begin anew.

What is missing or out of date needs none: once built it is no longer chosen.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from imgctl.errors import StateError
from imgctl.ops.backfill.order import BackfillOrder
from imgctl.ops.rows import FIRST
from imgctl.run.scratch import part

SAVED_EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Everything up to `after` is done, but for so many images that failed and so many that wait for a restore."""

    after: UUID = FIRST
    failed: int = 0
    cold: int = 0


class Checkpoint:
    """The file of one kind of run, in the state directory; saved now and then, gone once the run has ended whole."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._saved_at = time.monotonic()

    def load(self) -> Reached:
        """How far the last run of this kind came; nothing where it ended whole, or where the file is damaged."""
        try:
            found = json.loads(self._file.read_text())
            return Reached(after=UUID(found["after"]), failed=int(found["failed"]), cold=int(found["cold"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Reached()

    def save(self, reached: Reached, *, now: bool = False) -> None:
        """Write it down, every two seconds at most unless `now`; StateError where that is not possible."""
        if not now and time.monotonic() - self._saved_at < SAVED_EVERY_SECONDS:
            return
        self._saved_at = time.monotonic()
        record = {"after": str(reached.after), "failed": reached.failed, "cold": reached.cold}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with part(self._file) as new:
                new.write_text(json.dumps(record))
                new.replace(self._file)
        except OSError as error:
            raise StateError(f"{self._file}: {(error.strerror or str(error)).lower()}") from error

    def remove(self) -> None:
        """The run ended whole: the next one begins with the first row."""
        with suppress(OSError):
            self._file.unlink()


def checkpoint(order: BackfillOrder, *, places: Iterable[str], directory: Path) -> Checkpoint:
    """The checkpoint of the backfills that do this in these places (catalog, store)."""
    return named_checkpoint("backfill", (*places, repr(replace(order, after=FIRST))), directory=directory)


def named_checkpoint(kind: str, parts: Iterable[str], *, directory: Path) -> Checkpoint:
    """The checkpoint of the runs of a kind that all of these texts are true of."""
    digest = hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()
    return Checkpoint(directory / f"{kind}-{digest[:16]}.json")
