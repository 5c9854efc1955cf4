"""How far an audit has come, in a file: the next one with the same question goes on from there."""

import hashlib
import json
from pathlib import Path
from uuid import UUID

from imgctl.errors import StateError
from imgctl.ops.audit.findings import Code
from imgctl.ops.audit.order import AuditOrder, CodeCount, Tally
from imgctl.run.scratch import part


class Checkpoint:
    """The place behind which nothing is done yet, and what was found before it; does nothing where no file was asked for."""

    def __init__(self, order: AuditOrder, tally: Tally) -> None:
        self._file = order.checkpoint
        self._tally = tally
        self._question = _question(order)
        self.after: UUID | None = None
        if self._file is not None:
            self._take_up(self._file)

    def passed(self, until: UUID | None) -> None:
        """All up to this id is done, and said."""
        if self._file is None or until is None:
            return
        codes = {
            code.value: {"count": one.count, "bytes": one.bytes, "examples": one.examples}
            for code, one in self._tally.codes.items()
        }
        state = {"question": self._question, "after": str(until), "rows": self._tally.rows, "codes": codes}
        _write(self._file, json.dumps(state))

    def done(self) -> None:
        """All is done: the next audit begins at the beginning."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _take_up(self, file: Path) -> None:
        try:
            state = json.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise StateError(f"the checkpoint {file} cannot be read: {error}", hint="delete it to begin anew") from None
        try:
            if state["question"] != self._question:
                hint = "delete it, or name another file"
                raise StateError(f"the checkpoint {file} is of an audit with other options", hint=hint)
            self.after = UUID(state["after"])
            self._tally.rows = int(state["rows"])
            for code, one in state["codes"].items():
                counted = CodeCount(count=one["count"], bytes=one["bytes"], examples=list(one["examples"]))
                self._tally.codes[Code(code)] = counted
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{file} is no checkpoint of an audit: {error!r}", hint="name another file") from None


def _question(order: AuditOrder) -> str:
    """What must be the same for two runs to be one audit."""
    scope = order.chosen.scope
    parts = (scope.since, scope.until, order.classes, order.stale, order.inventory)
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _write(file: Path, text: str) -> None:
    try:
        with part(file) as new:
            new.write_text(text, "utf-8")
            new.replace(file)
    except OSError as error:
        hint = "check the rights and the space there"
        raise StateError(f"the checkpoint {file} cannot be written: {error.strerror}", hint=hint) from None
