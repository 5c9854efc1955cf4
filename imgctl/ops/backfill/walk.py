"""Walking by primary key: bounded windows of rows, of which only the chosen ones leave the database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement

from imgctl.model import Image
from imgctl.ops.backfill.order import BackfillOrder, Mode, Selection
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import BadId, pages
from imgctl.store.catalog.backfill import chosen, up_to
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import PAGE_ROWS, clock, edge, page

# What one statement looks at: tens of milliseconds, however few of the rows are chosen.
WINDOW_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Rows that may be wanted, the database's time when they were read, and how many were examined for them.

    `done` is the id up to which the walk has come.
    """

    images: list[Image]
    clock: datetime
    examined: int
    done: UUID


def windows(catalog: Catalog, order: BackfillOrder, *, stop: StopSignal, bad: list[BadId]) -> Iterator[Window]:
    """The rows that may be wanted, in the order of ids (of the file, where they come from one)."""
    if order.chosen.ids_from is None:
        yield from _scope(catalog, order, stop=stop)
        return
    for found in pages(catalog, order.chosen, stop=stop, bad=bad):
        yield Window(images=found, clock=_clock(catalog, stop), examined=len(found), done=order.after)


def _scope(catalog: Catalog, order: BackfillOrder, *, stop: StopSignal) -> Iterator[Window]:
    after, last = order.after, order.after
    while not stop.is_set():
        bound, examined, now = retry(partial(_bound, catalog, order, after), stop=stop)
        while not stop.is_set():
            found = retry(partial(_page, catalog, order, after, bound), stop=stop)
            whole = len(found) < PAGE_ROWS
            last = found[-1].id if found else last
            after = bound if whole and bound else last
            yield Window(images=found, clock=now, examined=examined if whole else 0, done=after)
            if whole:
                break
        if bound is None:
            return


def _bound(catalog: Catalog, order: BackfillOrder, after: UUID) -> tuple[UUID | None, int, datetime]:
    with catalog.read() as connection:
        return *edge(connection, order.chosen.scope, after=after, rows=WINDOW_ROWS), clock(connection)


def _page(catalog: Catalog, order: BackfillOrder, after: UUID, bound: UUID | None) -> list[Image]:
    with catalog.read() as connection:
        return page(connection, order.chosen.scope, after=after, where=_where(order.selection) & up_to(bound))


def _where(selection: Selection) -> ColumnElement[bool]:
    shard = selection.shard
    return chosen(
        selection.variants,
        recipe=selection.recipe if selection.mode is Mode.STALE else None,
        every=selection.verify or selection.mode is Mode.FORCE,
        shard=(shard.number, shard.count) if shard else None,
    )


def _clock(catalog: Catalog, stop: StopSignal) -> datetime:
    def attempt() -> datetime:
        with catalog.read() as connection:
            return clock(connection)

    return retry(attempt, stop=stop)
