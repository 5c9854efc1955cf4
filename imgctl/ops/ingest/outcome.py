"""Outcomes of files: the fate of each, their totals, and the reports that a run writes."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self, TextIO
from uuid import UUID

from imgctl.errors import StateError, UsageError
from imgctl.ops.common.csv_cells import guarded
from imgctl.ops.common.tally import Tally
from imgctl.run.scratch import atomic_write
from imgctl.units import count_of

COLUMNS = ("path", "fate", "reason", "detail", "id", "sha256", "bytes", "seconds", "date_unlikely")


class Fate(StrEnum):
    """The result for a file; `planned`: a dry run would upload it."""

    UPLOADED = "uploaded"
    PLANNED = "planned"
    PRESENT = "present"
    SKIPPED = "skipped"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a file was not uploaded or is not safe, or how it was proved safe; stable codes for reports."""

    NONE = ""
    ALREADY_THERE = "already_there"
    SAME_CONTENT = "same_content"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported"
    UNOPENED_ARCHIVE = "unopened_archive"
    LEFT_OUT = "left_out"
    EMPTY = "empty"
    NOT_A_FILE = "not_a_file"
    LINK = "link"
    LOOP = "loop"
    JUNK = "junk"
    OWN_STORE = "own_store"
    SIDECAR = "sidecar"
    FILTERED = "filtered"
    TRASHED = "trashed"
    HIDDEN = "hidden"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    OUTSIDE_DATES = "outside_dates"
    NO_USER = "no_user"
    NO_ROW = "no_row"
    BAD_LINE = "bad_line"
    BAD_EVENT = "bad_event"
    OWN_BLOB = "own_blob"
    ARCHIVED = "archived"
    MISSING = "missing"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    CHANGED = "changed_while_reading"
    STORE = "store"
    SOURCE = "source"
    IN_ARCHIVE = "in_archive"
    NOT_TRIED = "not_tried"
    ERASED = "erased"
    NOT_CONFIRMED = "not_confirmed"
    ORIGINAL_MISSING = "original_missing"
    SIZE_DIFFERS = "size_differs"
    CONTENT_DIFFERS = "content_differs"
    BY_SHA256 = "by_sha256"
    BY_ETAG = "by_etag"
    BY_SIZE = "by_size"
    BY_JOURNAL = "by_journal"
    BY_CATALOG = "by_catalog"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """The outcome of one file; `path` may hold surrogates for invalid UTF-8, `seconds` is from read to confirm.

    `date_unlikely`: a source had an impossible date, and the next source was used.
    """

    path: str
    fate: Fate
    reason: Reason = Reason.NONE
    detail: str = ""
    id: UUID | None = None
    sha256: bytes | None = None
    bytes: int | None = None
    seconds: float = 0.0
    date_unlikely: bool = False

    @classmethod
    def failed(cls, path: str, reason: Reason, detail: str, size: "int | None" = None) -> "FileOutcome":
        """Return the outcome of a file that failed before it had an image."""
        return cls(path=path, fate=Fate.FAILED, reason=reason, detail=detail, bytes=size)

    @classmethod
    def skipped(cls, path: str, reason: Reason, detail: str, size: "int | None" = None) -> "FileOutcome":
        """Return the outcome of a file that is left out."""
        return cls(path=path, fate=Fate.SKIPPED, reason=reason, detail=detail, bytes=size)


class FileTally:
    """Counts and bytes by fate and reason, and the number of impossible dates."""

    def __init__(self) -> None:
        self.tally: Tally[Fate] = Tally(Fate)
        self.dates_unlikely = 0

    def add(self, outcome: FileOutcome) -> None:
        self.tally.count(outcome.fate, size=outcome.bytes or 0, reason=outcome.reason)
        self.dates_unlikely += outcome.date_unlikely

    @property
    def unlikely(self) -> str:
        """The number of impossible dates, as a sentence; empty if there are none."""
        if not self.dates_unlikely:
            return ""
        dates = count_of(self.dates_unlikely, "date")
        return f"{dates} before 1826 or in the future: the next source was taken (date_unlikely in --report)"


def record(outcome: FileOutcome) -> dict[str, str | int | float | None]:
    """Return an outcome as plain values: digests and ids as text, absent values as None."""
    return {
        "path": outcome.path,
        "fate": outcome.fate.value,
        "reason": outcome.reason.value or None,
        "detail": outcome.detail or None,
        "id": str(outcome.id) if outcome.id else None,
        "sha256": outcome.sha256.hex() if outcome.sha256 else None,
        "bytes": outcome.bytes,
        "seconds": round(outcome.seconds, 3),
        "date_unlikely": outcome.date_unlikely,
    }


class Reports:
    """The files of `--report` (CSV or JSON lines, by extension) and `--failed-out`, written as outcomes arrive.

    Paths keep their bytes: CSV and lists hold invalid UTF-8 unchanged, JSON holds lone surrogates. If a path contains a
    newline, the list of failed files is NUL-separated. Raises UsageError for an unknown extension and for a file that
    is also among the `inputs` of the run, StateError if a file cannot be written.
    """

    def __init__(self, report: Path | None, failed_out: Path | None, *, inputs: Iterable[Path] = ()) -> None:
        check_apart({"--report": report, "--failed-out": failed_out}, inputs)
        self._stack = ExitStack()
        self._failed_out = failed_out
        self._failed: TextIO | None = None
        self._write: Callable[[Mapping[str, str | int | float | None]], object] | None = None
        if report is not None:
            self._write = self._writer(report)
        if failed_out is not None:
            self._failed = self._open(failed_out)

    def add(self, outcome: FileOutcome) -> None:
        """Write one outcome."""
        try:
            if self._write is not None:
                self._write(record(outcome))
            if self._failed is not None and _is_a_failed_file(outcome):
                self._failed.write(outcome.path + "\0")
        except OSError as error:
            raise _unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._stack.close()
            if self._failed_out is not None and kind is None:
                _newlines_where_possible(self._failed_out)
        except OSError as full:
            raise _unwritable(full) from full

    def _writer(self, report: Path) -> Callable[[Mapping[str, str | int | float | None]], object]:
        if report.suffix == ".jsonl":
            lines = self._open(report)
            return lambda values: lines.write(json.dumps(values) + "\n")
        if report.suffix == ".csv":
            writer = csv.DictWriter(self._open(report), COLUMNS)
            writer.writeheader()
            return lambda values: writer.writerow({name: guarded(value) for name, value in values.items()})
        raise UsageError(f"--report {report}: unknown ending", hint="end it in .csv or .jsonl")

    def _open(self, file: Path) -> TextIO:
        try:
            opened = file.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}", hint="check the directory") from error
        return self._stack.enter_context(opened)


def check_apart(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """Raise UsageError where opening an output, by its option, would empty what the run reads, or another output."""
    used = list(inputs)
    for option, file in outputs.items():
        if file is None or (file.exists() and not file.is_file()):
            # Several outputs may share a device.
            continue
        if any(_same(file, other) for other in used):
            raise UsageError(f"{option} {file} would overwrite a file that the run also uses", hint="name another file")
        used.append(file)


def _same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:
        # A file that doesn't exist yet can only be compared by name.
        return os.path.abspath(file) == os.path.abspath(other)  # noqa: PTH100


def _unwritable(error: OSError) -> StateError:
    return StateError(
        f"the report cannot be written: {error.strerror}", hint="free some space there and run the same command again"
    )


def _is_a_failed_file(outcome: FileOutcome) -> bool:
    # The path of a bad line is a line number, that of a bad event a message: there is no file to retry.
    return outcome.fate is Fate.FAILED and outcome.reason not in (Reason.BAD_LINE, Reason.BAD_EVENT)


def _newlines_where_possible(file: Path) -> None:
    """Rewrite a NUL-separated list with newlines, a piece at a time, unless a path in it contains a newline.

    A device or a pipe keeps its NULs.
    """
    if not file.is_file():
        return
    with file.open("rb") as old:
        if any(b"\n" in piece for piece in iter(lambda: old.read(2**20), b"")):
            return
        old.seek(0)
        with atomic_write(file) as fresh, fresh.open("wb") as new:
            for piece in iter(lambda: old.read(2**20), b""):
                new.write(piece.replace(b"\0", b"\n"))
