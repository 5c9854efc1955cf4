"""Files in which a run notes how far it came, so that the next one continues there: JSON, replaced atomically."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from imgctl.errors import StateError
from imgctl.keys import FIRST
from imgctl.run.scratch import whole_file

T = TypeVar("T")

SAVED_EVERY_SECONDS = 2.0


def state_directory() -> Path:
    """The user's state directory for imgctl (XDG), or one beside the embedded data for a user without a home."""
    state = os.environ.get("XDG_STATE_HOME") or (f"{os.environ['HOME']}/.local/state" if os.environ.get("HOME") else "")
    return Path(state or "imgctl-data") / "imgctl"


def state_file(kind: str, texts: Iterable[str]) -> Path:
    """The file in the state directory of the runs of a kind that all of these texts are true of."""
    digest = hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()
    return state_directory() / f"{kind}-{digest[:16]}.json"


def load_state(file: Path, parse: Callable[..., T]) -> T | None:
    """What `parse` makes of the fields of the file's JSON, None without a file; StateError where that is not possible."""
    try:
        return parse(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"{file} cannot be read: {error}", hint="delete it to begin anew") from None


def save_state(file: Path, state: Mapping[str, object], *, hint: str = "check the rights and the space there") -> None:
    """Replace the file by this state; StateError where that is not possible."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror or error}", hint=hint) from None
    with whole_file(file, hint=hint) as out:
        json.dump(state, out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Everything up to `after` is done, except for `failed` images and `cold` ones, which wait for a restore."""

    after: UUID = FIRST
    failed: int = 0
    cold: int = 0


class Checkpoint:
    """How far a run came that does again what is done already: without it a killed one would begin anew.

    `resumed` is where the last run with this file stopped: nothing if that ended whole, if its file is damaged, or with
    `anew`. Without a file nothing is kept.
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
        """Add images that failed, or wait for a restore."""
        self._failed += failed
        self._cold += cold

    def save(self, after: UUID, *, now: bool = False) -> None:
        """Note that everything up to this id is done, every two seconds at most unless `now`; raises StateError."""
        if self._file is None or not (now or time.monotonic() - self._saved_at >= SAVED_EVERY_SECONDS):
            return
        self._saved_at = time.monotonic()
        save_state(self._file, {"after": str(after), "failed": self._failed, "cold": self._cold})

    def end(self, after: UUID, *, whole: bool) -> None:
        """The run ends: if the work is done the next one begins with the first row, else behind `after`."""
        if not whole:
            self.save(after, now=True)
        elif self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def _reached(after: str, failed: int, cold: int) -> Reached:
    return Reached(after=UUID(after), failed=failed, cold=cold)
