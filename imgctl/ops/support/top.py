"""The figures of `imgctl top`: the backlog and its speed, running operations, stuck rows, the last audit, the bill."""

import logging
import os
import time
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Thread
from uuid import UUID

from sqlalchemy import Connection

from imgctl.config.settings import Settings
from imgctl.errors import CatalogError, ConfigError
from imgctl.model import Status
from imgctl.ops.common.spend import card_in_force
from imgctl.ops.cost.actual import By, actual
from imgctl.ops.cost.survey import Question, survey
from imgctl.pricing.lines import total
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.live_view import (
    Newest,
    QueueHead,
    ended_between,
    frontier,
    leased_now,
    newest_rows,
    queue_head,
    rows_about,
)
from imgctl.store.catalog.queries.lookups import Scope, clock
from imgctl.store.catalog.queries.operations import Operation, newest
from imgctl.store.catalog.queries.reservations import lookup

log = logging.getLogger(__name__)

# A bill reads every row: up to this size it takes about a second, and is made by default.
CHEAP_ROWS = 1_000_000
# Long enough for a small archive's bill to appear in the first snapshot.
BILL_SECONDS = 0.2
STUCK_SECONDS = 900.0
ENDED = (Status.READY, Status.FAILED)
# How far back to search for runs, and for the last audit.
RUNS, AUDITS = timedelta(days=7), timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Dollars a month for storage, and the one-off cost of the last 30 days' requests."""

    monthly: Decimal
    requests: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The archive at one moment, by the database's clock.

    `done_a_second` needs an earlier snapshot. `spend` may still be in progress (`billing`), or have no prices, for the
    reason in `unpriced`.
    """

    at: datetime
    images_about: int
    head: QueueHead
    newest: Newest
    done_a_second: float | None
    running: tuple[Operation, ...]
    ended: tuple[Operation, ...]
    audit: Operation | None
    spend: Spend | None
    billing: bool
    unpriced: str


@dataclass(slots=True, kw_only=True)
class Looker:
    """Takes snapshots; keeps the workers' progress between them, and the bill, which is made once.

    With `later` a separate thread makes the bill: the first snapshot of a large archive doesn't wait for it.
    """

    catalog: Catalog
    settings: Settings
    with_spend: bool = False
    later: bool = False
    _held: set[UUID] | None = None
    _frontier: UUID | None = None
    _looked_at: float = 0.0
    _spend: Spend | None = None
    _unpriced: str = ""
    _billed: bool = False
    _billing: Thread | None = None

    def look(self) -> Snapshot:
        """Take a snapshot of the archive; raises CatalogError."""
        began = time.monotonic()
        with self.catalog.read() as connection:
            now = clock(connection)
            head = queue_head(connection, stuck_seconds=STUCK_SECONDS)
            last = newest_rows(connection, stuck_seconds=STUCK_SECONDS)
            done = self._done(connection)
            runs = newest(connection, Scope(since=now - RUNS))
            audits = newest(connection, Scope(since=now - AUDITS), command="audit")
            about = rows_about(connection)
        seconds, self._looked_at = began - self._looked_at, began
        if not self._billed and (self.with_spend or about <= CHEAP_ROWS):
            self._billed = True
            self._make_bill()
        if self._billing is not None:
            self._billing.join(BILL_SECONDS)
        return Snapshot(
            at=now,
            images_about=about,
            head=head,
            newest=last,
            done_a_second=None if done is None else done / max(seconds, 0.001),
            running=tuple(one for one in runs if one.ended_at is None and is_alive(one)),
            ended=tuple(one for one in runs if one.ended_at is not None),
            audit=next((one for one in audits if one.ended_at is not None), None),
            spend=self._spend,
            billing=self._billing is not None and self._billing.is_alive(),
            unpriced=self._unpriced,
        )

    def _make_bill(self) -> None:
        if not self.later:
            self._bill()
            return
        # A daemon thread: quitting does not wait for it.
        self._billing = Thread(target=self._bill_later, name="bill", daemon=True)
        self._billing.start()

    def _bill(self) -> None:
        try:
            self._spend = spend(self.catalog, self.settings)
        except ConfigError as error:
            # The card lacks a class: everything else can be shown.
            self._unpriced = error.line

    def _bill_later(self) -> None:
        try:
            self._bill()
        except CatalogError as error:
            log.warning("the bill was not made: %s", error.line)

    def _done(self, connection: Connection) -> int | None:
        """Count images that ended since the last snapshot: those leased then, and those claimed since."""
        held, before = self._held, self._frontier
        self._held, reached = leased_now(connection), frontier(connection)
        self._frontier = max((one for one in (reached, before) if one is not None), default=None)
        if held is None:
            return None
        done = {one for one, (_, status) in lookup(connection, held).items() if status in ENDED}
        if before is not None and self._frontier is not None:
            done |= ended_between(connection, before, self._frontier)
        return len(done)


def spend(catalog: Catalog, settings: Settings) -> Spend:
    """Make the bill, as `cost actual` does: reads every row once."""
    card = card_in_force(settings)
    found = survey(catalog, card, Question(top=0))
    for name in found.archive.unpriced:
        # A part of the bill would look like all of it: raises ConfigError.
        card.of(name)
    bill = actual(card, found, By.CLASS)
    return Spend(monthly=bill.total, requests=total(bill.growth.requests))


def is_alive(one: Operation) -> bool:
    """Whether an unfinished run may still be running: checks its process on this machine; True for other machines."""
    if one.host != os.uname().nodename:
        return True
    try:
        os.kill(one.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def record(seen: Snapshot) -> dict[str, object]:
    """Return a snapshot as plain values."""
    head = {one.name: getattr(seen.head, one.name) for one in fields(QueueHead)}
    return {
        "at": seen.at,
        "images_about": seen.images_about,
        **{name: round(value, 1) if isinstance(value, float) else value for name, value in head.items()},
        "stuck_uploads": seen.newest.stuck,
        "arrived_a_second": round(seen.newest.a_second, 2),
        "done_a_second": None if seen.done_a_second is None else round(seen.done_a_second, 2),
        "running": [_run(one) for one in seen.running],
        "last_audit": None if seen.audit is None else _run(seen.audit),
        "monthly": None if seen.spend is None else seen.spend.monthly,
        "requests_of_30_days": None if seen.spend is None else seen.spend.requests,
    }


def _run(one: Operation) -> dict[str, object]:
    names = ("command", "who", "host", "pid", "started_at", "ended_at", "exit_code")
    return {name: getattr(one, name) for name in names}
