"""How far an audit has come, in a file: the next one with the same question goes on from there."""

import hashlib
from collections.abc import Mapping
from typing import TypedDict
from uuid import UUID

from imgctl.errors import StateError
from imgctl.ops.audit.findings import Code
from imgctl.ops.audit.order import AuditOrder, CodeCount, Tally
from imgctl.ops.checkpoint import load_state, save_state


class Checkpoint:
    """The place behind which nothing is done yet, and what was found before it; does nothing where no file was asked for."""

    def __init__(self, order: AuditOrder, tally: Tally) -> None:
        self._file = order.checkpoint
        self._tally = tally
        self._question = _question(order)
        self.after: UUID | None = None
        if self._file is not None:
            load_state(self._file, self._resume)

    def passed(self, until: UUID | None) -> None:
        """All up to this id is done, and said."""
        if self._file is None or until is None:
            return
        codes = {
            code.value: {"count": one.count, "bytes": one.bytes, "examples": one.examples}
            for code, one in self._tally.codes.items()
        }
        state = {"question": self._question, "after": str(until), "rows": self._tally.rows, "codes": codes}
        save_state(self._file, state)

    def done(self) -> None:
        """All is done: the next audit begins at the beginning."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _resume(self, question: str, after: str, rows: int, codes: "Mapping[str, _Counted]") -> None:
        if question != self._question:
            hint = "delete it, or name another file"
            raise StateError(f"the checkpoint {self._file} is of an audit with other options", hint=hint)
        self.after, self._tally.rows = UUID(after), rows
        self._tally.codes |= {Code(code): CodeCount(**one) for code, one in codes.items()}


class _Counted(TypedDict):
    count: int
    bytes: int
    examples: list[str]


def _question(order: AuditOrder) -> str:
    """What must be the same for two runs to be one audit."""
    scope = order.chosen.scope
    parts = (scope.since, scope.until, order.classes, order.stale, order.inventory)
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
