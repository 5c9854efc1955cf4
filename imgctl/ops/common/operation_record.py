"""Records the operation that this process runs in the table `operations`: once the catalog is open, and at the end."""

import json
import logging
import os
import pwd
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imgctl.errors import ImgctlError
from imgctl.keys import new_id
from imgctl.ops.common.retry import retry

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.ops.common.transactions import Statements, Transactions

MOST_TYPED = 1000
"""How many values of one option are recorded."""
END_SECONDS = 5.0
"""How long the end of a run is retried: without it, `history` and `top` show the run as still running."""
MORE = "…"
"""Follows them if there were more."""

log = logging.getLogger(__name__)

current: "ContextVar[Recording | None]" = ContextVar("operation", default=None)
"""The recording that `ops.parts` begins once the catalog is open; None for a command that changes nothing."""


class Recording:
    """The record of a run: its options, the one user it is limited to, and who ran it (default: this process's user).

    A record that cannot be written is only a warning: it must not stop the work.
    """

    def __init__(
        self, command: str, scope: Mapping[str, object], *, user_id: UUID | None, report: str | None, who: str = ""
    ) -> None:
        self._command, self._scope, self._user_id, self._report = command, scope, user_id, report
        self._who = who
        self._id: UUID | None = None
        self._catalog: Transactions | None = None

    def begin(self, catalog: "Transactions") -> None:
        """Record that the run begins; does nothing the second time."""
        if self._id is not None:
            return
        self._id = new_id(datetime.now(UTC))
        values = {
            "command": self._command,
            "who": self._who or who(),
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "scope": json.dumps(self._scope, ensure_ascii=False, default=str),
            "user_id": self._user_id,
        }
        if _tried(catalog, _begin, self._id, values, failing="this run is not recorded in the operations"):
            catalog.keep()
            self._catalog = catalog

    def end(self, code: int, summary: Mapping[str, object], error: str = "", *, receipt: str = "") -> None:
        """Record how the run ended, with the numbers of the summary that are not 0; only if its begin is recorded."""
        if self._id is None or self._catalog is None:
            return
        counts = {
            name: value for name, value in summary.items() if isinstance(value, int) and value and value is not True
        }
        values = {
            "exit_code": code,
            "counts": json.dumps(counts) if counts else None,
            "report": receipt or self._report,
            "error": error or None,
        }
        failing = "the end of this run is not recorded in the operations"
        _tried(self._catalog, _end, self._id, values, failing=failing, seconds=END_SECONDS)

    def close(self) -> None:
        """Close the catalog again: `end` reopens a connection if the catalog was closed before."""
        if self._catalog is not None:
            self._catalog.close()


def who() -> str:
    """Return the operating system's user of this process, and the user who ran sudo, if any."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # In a container the user may have no name.
        name = f"uid {os.geteuid()}"
    before = os.environ.get("SUDO_USER")
    return f"{before} as {name}" if before and before != name else name


def begin_current(catalog: "Transactions") -> None:
    """Record that the operation of this process begins, if it has one."""
    if (one := current.get()) is not None:
        one.begin(catalog)


def _tried(
    catalog: "Transactions",
    write: "Statements[[UUID, Mapping[str, object]], None]",
    operation: UUID,
    values: Mapping[str, object],
    *,
    failing: str,
    seconds: float = 0.0,
) -> bool:
    try:
        retry(lambda: catalog.write(write, operation, values), stop=Event(), seconds=seconds)
    except ImgctlError as error:
        log.warning("%s: %s", failing, error.line)
        return False
    return True


def _begin(connection: "Connection", operation: UUID, values: Mapping[str, Any]) -> None:
    from imgctl.store.catalog.queries.operations import begin

    begin(connection, operation, **values)


def _end(connection: "Connection", operation: UUID, values: Mapping[str, Any]) -> None:
    from imgctl.store.catalog.queries.operations import end

    end(connection, operation, **values)
