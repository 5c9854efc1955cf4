"""Plan files: the actions of a command with the state they depend on, read back whole, and performed one by one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from imgctl.errors import UsageError, usable
from imgctl.jsontext import parse_json
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal
from imgctl.pricing.lines import Json
from imgctl.run.scratch import atomic_write
from imgctl.units import count_of

FORMAT = 1
DIGEST_BYTES = 8
_OWN = ("type", "do", "id", "key", "etag", "row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action on one original; it is performed only if the ETag and the row (`row_version`) are unchanged."""

    do: str
    id: UUID
    key: str
    etag: str
    row: str
    parameters: Mapping[str, Json] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a parameter that must be a text; UsageError if it is not."""
        value = self.parameters.get(name)
        if not isinstance(value, str):
            raise UsageError(f"plan: {self.do} {self.id} has no {name}", hint="write the plan anew")
        return value

    def count(self, name: str) -> int:
        """Return a parameter that must be a whole number; UsageError if it is not."""
        value = self.parameters.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise UsageError(f"plan: {self.do} {self.id} has no {name}", hint="write the plan anew")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan that was read to its end and is whole: its number of `actions`, its `summary` as the command wrote it."""

    file: Path
    command: str
    created_at: datetime
    actions: int
    summary: Mapping[str, Json]

    def stream(self) -> Iterator[Action]:
        """Yield its actions in order, one in memory at a time."""
        for number, record in _records(self.file):
            if record["type"] == "action":
                yield _action(self.file, number, record)


class Fate(StrEnum):
    """The end of an action: done, done before, refused because something drifted, failed, or (dry run) only checked."""

    DONE = "done"
    ALREADY = "already"
    REFUSED = "refused"
    FAILED = "failed"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An action's fate, and the reason."""

    action: Action
    fate: Fate
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """How actions are performed: requests in flight, requests a second (None: unlimited); a dry run only checks."""

    parts: Parts
    stop: StopSignal
    concurrency: int
    rate: int | None = None
    dry_run: bool = False


class Performer(Protocol):
    """Performs some actions of one kind, in any order; raises only errors that end the whole run."""

    def __call__(self, actions: Sequence[Action], site: Site) -> Iterator[Applied]: ...


class PlanWriter:
    """Writes a plan in `with PlanWriter(file, command=…, stop=…) as plan:`; the file appears whole, or not at all.

    A run that `stop` ended is incomplete and leaves no file. UsageError for an existing file: an approved plan must not
    change.
    """

    def __init__(self, file: Path, *, command: str, stop: StopSignal) -> None:
        if file.exists():
            raise _exists(file)
        self._stack = ExitStack()
        with usable(file, "check --plan"):
            self._new = self._stack.enter_context(atomic_write(file, anew=True))
            self._out = self._stack.enter_context(self._new.open("w", encoding="utf-8"))
        self.actions = 0
        self._file = file
        self._stop = stop
        self._summary: Mapping[str, Json] = {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"type": "plan", "version": FORMAT, "command": command, "created_at": now})

    def add(self, action: Action) -> None:
        """Write one action."""
        own = {"type": "action", "do": action.do, "id": str(action.id), "key": action.key}
        self._write({**own, "etag": action.etag, "row": action.row, **action.parameters})
        self.actions += 1

    def conclude(self, summary: Mapping[str, Json]) -> None:
        """Set the contents of the summary beside the number of actions: bytes, an estimate."""
        self._summary = summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._stop.is_set():
            self._new.unlink()
        elif kind is None:
            self._write({"type": "summary", **self._summary, "actions": self.actions})
        try:
            self._stack.__exit__(kind, error, where)
        except FileExistsError:
            raise _exists(self._file) from None

    def _write(self, record: Mapping[str, Json]) -> None:
        self._out.write(json.dumps(record, separators=(",", ":")) + "\n")


def _exists(file: Path) -> UsageError:
    return UsageError(f"{file} exists", hint="give --plan another name, or delete it")


def read_plan(file: Path) -> Plan:
    """Read a whole plan and check every line; UsageError names the wrong line, or reports a plan that is cut short."""
    head: Mapping[str, Json] | None = None
    summary: Mapping[str, Json] | None = None
    actions = 0
    for number, record in _records(file):
        if head is None:
            head = _head(file, record)
        elif record["type"] == "action" and summary is None:
            _action(file, number, record)
            actions += 1
        elif record["type"] == "summary" and summary is None:
            summary = record
        else:
            raise _wrong(file, number, "is out of place")
    if head is None:
        raise _wrong(file, 1, "is not a plan")
    if summary is None or summary.get("actions") != actions:
        raise UsageError(
            f"{file} is cut short: it has {count_of(actions, 'action')} and no end", hint="write the plan anew"
        )
    created_at = datetime.fromisoformat(str(head["created_at"]))
    return Plan(file=file, command=str(head["command"]), created_at=created_at, actions=actions, summary=summary)


def _records(file: Path) -> Iterator[tuple[int, Mapping[str, Json]]]:
    with usable(file, "check the plan's name"):
        lines = file.open(encoding="utf-8", errors="replace")
    with lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = parse_json(line)
            except ValueError:
                raise _wrong(file, number, "is not JSON") from None
            if not isinstance(record, dict) or not isinstance(record.get("type"), str):
                raise _wrong(file, number, "is not a line of a plan")
            yield number, record


def _head(file: Path, record: Mapping[str, Json]) -> Mapping[str, Json]:
    if record["type"] != "plan" or not isinstance(record.get("command"), str):
        raise _wrong(file, 1, "is not the head of a plan")
    if record.get("version") != FORMAT:
        raise UsageError(f"{file} is a plan of version {str(record.get('version'))[:20]}", hint="write the plan anew")
    try:
        datetime.fromisoformat(str(record.get("created_at")))
    except ValueError:
        raise _wrong(file, 1, "has no created_at") from None
    return record


def _action(file: Path, number: int, record: Mapping[str, Json]) -> Action:
    texts = {name: record.get(name) for name in ("do", "key", "etag", "row")}
    try:
        image_id = UUID(str(record.get("id")))
    except ValueError:
        raise _wrong(file, number, "has no id") from None
    missing = [name for name, value in texts.items() if not isinstance(value, str) or not value]
    if missing:
        raise _wrong(file, number, f"has no {missing[0]}")
    parameters = {name: value for name, value in record.items() if name not in _OWN}
    return Action(id=image_id, **{name: str(value) for name, value in texts.items()}, parameters=parameters)


def _wrong(file: Path, number: int, what: str) -> UsageError:
    return UsageError(f"{file}:{number} {what}", hint="give a file that --plan wrote")


def row_version(image: Image) -> str:
    """Return a digest of the columns that decide which actions an image allows, in 16 hex digits.

    Leases and attempts are not among them: they describe the work on a row, not the image.
    """
    columns = (
        image.status,
        image.original_key,
        image.thumb_key,
        image.medium_key,
        image.full_key,
        image.storage_class,
        image.bytes,
        None if image.sha256 is None else image.sha256.hex(),
        image.recipe,
    )
    text = "\0".join("" if one is None else f"={one}" for one in columns)
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
