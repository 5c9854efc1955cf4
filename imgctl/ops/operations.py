"""The operation that this process runs: written into `operations` when the catalog is open, and again when it ends."""

import json
import logging
import os
import pwd
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl.errors import ImgctlError
from imgctl.keys import new_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.store.catalog.engine import Catalog

MOST_TYPED = 1000
"""How many values of one option are written down."""
MORE = "…"
"""Stands behind them where there were more."""

log = logging.getLogger(__name__)

current: "ContextVar[Recording | None]" = ContextVar("operation", default=None)
"""What `ops.parts` begins when it has opened the catalog; None where nothing will be changed."""


class Recording:
    """A run to be written down: what was typed, whose images alone it is about, and `who` asked (else this process's user).

    That it cannot be written is a warning and no more: the work counts.
    """

    def __init__(
        self, command: str, scope: Mapping[str, object], *, user_id: UUID | None, report: str | None, who: str = ""
    ) -> None:
        self._command, self._scope, self._user_id, self._report = command, scope, user_id, report
        self._who = who
        self._id: UUID | None = None
        self._catalog: Catalog | None = None

    def begin(self, catalog: "Catalog") -> None:
        """Write down that it begins; what it is the second time."""
        from imgctl.store.catalog.operations import begin

        if self._id is not None:
            return
        self._id = new_id(datetime.now(UTC))
        write_it = partial(
            begin,
            operation=self._id,
            command=self._command,
            who=self._who or who(),
            host=os.uname().nodename,
            pid=os.getpid(),
            scope=json.dumps(self._scope, ensure_ascii=False, default=str),
            user_id=self._user_id,
        )

        if _tried(catalog, write_it, "this run is not written into the operations"):
            self._catalog = catalog

    def end(self, code: int, summary: Mapping[str, object], error: str = "", *, receipt: str = "") -> None:
        """Write down how it ended, where its beginning is written; of the summary the numbers that are not 0."""
        if self._id is None or self._catalog is None:
            return
        from imgctl.store.catalog.operations import end

        counts = {
            name: value for name, value in summary.items() if isinstance(value, int) and value and value is not True
        }
        told = json.dumps(counts) if counts else None
        report = receipt or self._report
        write_it = partial(end, operation=self._id, exit_code=code, counts=told, report=report, error=error or None)
        _tried(self._catalog, write_it, "the end of this run is not written into the operations")

    def close(self) -> None:
        """Close the catalog once more: where it was closed before the end, that has opened a connection again."""
        if self._catalog is not None:
            self._catalog.close()


def who() -> str:
    """The user of the operating system that runs this process, and who became that user by sudo."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # A container need not know the user it runs as.
        name = f"uid {os.geteuid()}"
    before = os.environ.get("SUDO_USER")
    return f"{before} as {name}" if before and before != name else name


def begin_current(catalog: "Catalog") -> None:
    """Write down that the operation of this process begins, if it has one."""
    if (one := current.get()) is not None:
        one.begin(catalog)


def _tried(catalog: "Catalog", write: "Callable[[Connection], None]", failing: str) -> bool:
    try:
        with catalog.write() as connection:
            write(connection)
    except ImgctlError as error:
        log.warning("%s: %s", failing, error.line)
        return False
    return True
