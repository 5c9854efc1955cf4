"""Files with the progress of a run, so that the next run continues there: JSON, replaced atomically."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from imgctl.errors import StateError
from imgctl.jsontext import parse_json
from imgctl.regular_files import regular
from imgctl.run.scratch import whole_file

T = TypeVar("T")


def state_directory() -> Path:
    """Return the user's state directory for imgctl (XDG), or one beside the embedded data for a user without a home."""
    state = os.environ.get("XDG_STATE_HOME") or (f"{os.environ['HOME']}/.local/state" if os.environ.get("HOME") else "")
    return Path(state or "imgctl-data") / "imgctl"


def make_parent(file: Path) -> None:
    """Make the directory of a file; the state directory for this user alone, as XDG wants it: it lists files and users."""
    state = state_directory()
    if file.is_relative_to(state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)


def state_file(kind: str, texts: Iterable[str]) -> Path:
    """Return the state file for runs of this kind with the same `texts`, such as their scope and store."""
    digest = hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()
    return state_directory() / f"{kind}-{digest[:16]}.json"


def load_state(file: Path, parse: Callable[..., T]) -> T | None:
    """Return `parse(**fields)` of the file's JSON, None without a file; StateError for an unreadable one."""
    try:
        with open(file, encoding="utf-8", opener=regular) as state:  # Path.open takes no opener
            return parse(**parse_json(state.read()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise StateError(f"{file} cannot be read: {str(error)[:200]}", hint="delete it to begin anew") from None


def counted(value: object) -> int:
    """Return a count of a state file; TypeError or ValueError for anything else."""
    if not isinstance(value, int) or not 0 <= value <= sys.maxsize:
        raise TypeError(f"{str(value)[:40]!r} is not a count")
    return value


def save_state(file: Path, state: Mapping[str, object], *, hint: str = "check the rights and the space there") -> None:
    """Replace the file by this state; StateError if that fails."""
    try:
        make_parent(file)
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror or error}", hint=hint) from None
    with whole_file(file, hint=hint) as out:
        json.dump(state, out)
