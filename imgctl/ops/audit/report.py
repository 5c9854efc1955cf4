"""Findings as a CSV file, written beside its name and put there whole."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from imgctl.errors import StateError
from imgctl.ops.audit.findings import FIELDS, Finding
from imgctl.run.scratch import part


class Sink(Protocol):
    """What takes findings one by one: a table, a CSV file, a page."""

    def __call__(self, finding: Finding) -> None: ...


@contextmanager
def csv_file(file: Path) -> Iterator[Sink]:
    """A file with a header and a line a finding; it appears under its name when the block ends well."""
    try:
        with part(file) as new:
            with new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
                writer = csv.DictWriter(out, FIELDS, extrasaction="ignore")
                writer.writeheader()
                yield lambda finding: writer.writerow({name: _safe(value) for name, value in finding.record().items()})
            new.replace(file)
    except OSError as error:
        raise StateError(f"{file} cannot be written: {error.strerror}", hint="check the rights and the space") from None


def _safe(value: str | int | None) -> str | int | None:
    """A text that no spreadsheet takes for a formula: keys and messages are anybody's."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
