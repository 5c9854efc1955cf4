"""The progress of a backfill, so that a killed run continues where it stopped."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from imgctl.errors import StateError
from imgctl.keys import FIRST
from imgctl.ops.common.checkpoint import counted, load_state, save_state

SAVED_EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Progress: everything up to `after` is done, except `failed` images and `cold` ones, which wait for a restore."""

    after: UUID = FIRST
    failed: int = 0
    cold: int = 0


class Checkpoint:
    """The progress of a run that would rebuild finished rows: without it a killed run would start again.

    `resumed` is where the last run with this file stopped: empty if that run completed, if its file is damaged, or with
    `anew`. Without a file nothing is stored.
    """

    def __init__(self, file: Path | None, *, anew: bool = False) -> None:
        self.resumed = Reached()
        self._file = file
        if file is not None and not anew:
            with suppress(StateError):
                self.resumed = load_state(file, _reached) or self.resumed
        self._failed, self._cold = self.resumed.failed, self.resumed.cold
        self._saved_at = time.monotonic()

    def count(self, *, failed: int = 0, cold: int = 0) -> None:
        """Count images that failed, or wait for a restore."""
        self._failed += failed
        self._cold += cold

    def save(self, after: UUID, *, now: bool = False) -> None:
        """Record that everything up to this id is done, every two seconds at most unless `now`; raises StateError."""
        if self._file is None or not (now or time.monotonic() - self._saved_at >= SAVED_EVERY_SECONDS):
            return
        self._saved_at = time.monotonic()
        save_state(self._file, {"after": str(after), "failed": self._failed, "cold": self._cold})

    def end(self, after: UUID, *, whole: bool) -> None:
        """End the run: if it is `whole`, the next run starts at the first row, else after `after`."""
        if not whole:
            self.save(after, now=True)
        elif self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def _reached(after: str, failed: int, cold: int) -> Reached:
    return Reached(after=UUID(after), failed=counted(failed), cold=counted(cold))
