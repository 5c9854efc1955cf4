"""Findings as a file that can be read twice: once to see how many orphans there are, once to act."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgctl.errors import UsageError
from imgctl.ops.audit.findings import Finding, from_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The findings of an audit as `imgctl audit --json` prints them, a line each; other lines are passed over."""

    file: Path

    def __iter__(self) -> Iterator[Finding]:
        """Its findings in their order, one in memory at a time; UsageError names the line that is none."""
        try:
            lines = self.file.open(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UsageError(f"{self.file}: {(error.strerror or str(error)).lower()}", hint="check FINDINGS") from None
        with lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield from self._finding(number, line)

    def _finding(self, number: int, line: str) -> Iterator[Finding]:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise UsageError(f"{self.file}:{number} is no finding", hint="give what imgctl audit --json printed")
        if record.get("type") != "finding":
            return
        try:
            yield from_record(record)
        except UsageError as error:
            raise UsageError(f"{self.file}:{number}: {error.message}", hint=error.hint) from None
