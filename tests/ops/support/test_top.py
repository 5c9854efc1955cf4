"""The live view: its counts, their rows, and that it never reads the whole table."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, text, update
from sqlalchemy.engine.interfaces import DBAPICursor

from imgctl.cli.support.top import shown
from imgctl.config.settings import Settings
from imgctl.keys import new_id
from imgctl.model import Status
from imgctl.ops.support import top
from imgctl.ops.support.top import Looker, Snapshot, Spend, is_alive
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.live_view import (
    Newest,
    QueueHead,
    ended_between,
    frontier,
    leased_now,
    newest_rows,
    queue_head,
)
from imgctl.store.catalog.queries.operations import Operation, begin, end
from imgctl.store.catalog.queries.reservations import promise
from imgctl.store.catalog.queries.results import finish
from imgctl.store.catalog.schema import POSTGRES, images
from tests.store.catalog.rows import finished, new_image, queued
from tools.docs import ROOT

LONG_AGO = datetime.now(UTC) - timedelta(hours=2)


_runs = count()


def run_of(catalog: Catalog, command: str, *, pid: int = 0, host: str = "", code: int | None = None) -> UUID:
    # Ids of one millisecond have no order.
    run = new_id(datetime.now(UTC) + timedelta(milliseconds=next(_runs)))
    where = host or os.uname().nodename
    with catalog.write() as connection:
        begin(connection, run, command=command, who="cron", host=where, pid=pid or os.getpid(), scope="{}")
        if code is not None:
            end(connection, run, exit_code=code, counts='{"findings": 2}')
    return run


def test_a_look_counts_waiting_leased_and_stuck_rows(catalog: Catalog) -> None:
    ids = queued(catalog, 6)
    with catalog.write() as connection:
        promise(connection, [new_image(100), new_image(101)])
        claim(connection, limit=2, lease_seconds=3600, max_attempts=5)
        late = update(images).where(images.c.id.in_([*ids[:3], new_image(100).id])).values(promised_at=LONG_AGO)
        connection.execute(late)
        connection.execute(update(images).where(images.c.id == ids[5]).values(storage_class="GLACIER"))
        connection.execute(update(images).where(images.c.id == ids[4]).values(attempts=1))
    seen = Looker(catalog=catalog, settings=Settings()).look()

    head = seen.head
    assert (head.processing, head.leased, head.retried, head.archived) == (6, 2, 1, 1)
    # Two of the three old rows are leased.
    assert head.stuck == 1
    assert 7200 <= (head.oldest_seconds or 0) <= (datetime.now(UTC) - LONG_AGO).total_seconds()
    assert 0 < (head.next_free_seconds or 0) <= 3600
    assert seen.newest.states == {Status.PROCESSING: 6, Status.UPLOADING: 2}
    assert seen.newest.a_second == pytest.approx(5 / 60)
    assert seen.spend is not None


def test_the_rate_is_computed_from_rows_that_end_between_two_looks(catalog: Catalog) -> None:
    queued(catalog, 30)
    looker = Looker(catalog=catalog, settings=Settings())
    with catalog.write() as connection:
        held = claim(connection, limit=4, lease_seconds=60, max_attempts=5)
    first = looker.look()
    with catalog.write() as connection:
        finish(connection, finished(held))
        finish(connection, finished(claim(connection, limit=7, lease_seconds=60, max_attempts=5)))
        claim(connection, limit=5, lease_seconds=60, max_attempts=5)
    looker._looked_at -= 100
    second = looker.look()
    third = looker.look()

    assert first.done_a_second is None
    assert round((second.done_a_second or 0) * 100) == 11
    assert third.done_a_second == 0


def test_running_commands_are_live_and_the_last_audit_is_the_last_ended_one(catalog: Catalog) -> None:
    run_of(catalog, "audit", code=4)
    run_of(catalog, "audit")
    run_of(catalog, "work", host="another machine")
    run_of(catalog, "upload", code=0)
    # No process has this id.
    run_of(catalog, "work", pid=2**22 + 1)
    seen = Looker(catalog=catalog, settings=Settings()).look()

    assert [(one.command, one.host == os.uname().nodename) for one in seen.running] == [
        ("work", False),
        ("audit", True),
    ]
    assert [one.command for one in seen.ended] == ["upload", "audit"]
    assert seen.audit is not None and seen.audit.exit_code == 4
    assert all(map(is_alive, seen.running))


def test_the_view_of_the_page_is_what_is_printed() -> None:
    page = (ROOT / "docs/operations/monitoring.md").read_text(encoding="utf-8")
    at = datetime(2026, 11, 28, 10, 59, 52, tzinfo=UTC)

    def run(command: str, host: str, pid: int, *, since: float, ago: float = 0, counts: str = "") -> Operation:
        about = {"id": UUID(int=pid), "command": command, "who": "imgctl", "host": host, "pid": pid, "scope": "{}"}
        ended = {"ended_at": at - timedelta(seconds=ago), "exit_code": 0, "counts": counts} if ago else {}
        return Operation(**about, started_at=at - timedelta(seconds=since), **ended)  # type: ignore[arg-type]

    head = {"processing": 175, "leased": 32, "retried": 3, "archived": 5, "stuck": 2}
    seen = Snapshot(
        at=at,
        images_about=900_000,
        head=QueueHead(**head, oldest_seconds=57.5, next_free_seconds=57.5),
        newest=Newest(states={Status.READY: 900}, recent=180, stuck=1, oldest_seconds=900),
        done_a_second=11,
        running=(run("work", "photos-2", 2612, since=129),),
        ended=(run("upload", "photos-1", 2529, since=60, ago=11.3, counts='{"uploaded": 150, "files": 150}'),),
        audit=run("audit", "photos-1", 1, since=40_000, ago=9 * 3600 + 120),
        spend=Spend(monthly=Decimal("412.07"), requests=Decimal("3.18")),
        billing=False,
        unpriced="",
    )

    lines = shown(seen, "postgresql+psycopg://imgctl@db/imgctl", rows=40)
    assert "\n".join(["```text", *lines, "```"]) in page


def test_the_bill_of_a_large_archive_is_computed_only_on_request(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(catalog, 3)
    if catalog.dialect == POSTGRES:
        with catalog.write() as connection:
            connection.execute(text("ANALYZE images"))
    monkeypatch.setattr(top, "CHEAP_ROWS", 2)

    assert Looker(catalog=catalog, settings=Settings()).look().spend is None
    assert Looker(catalog=catalog, settings=Settings(), with_spend=True).look().spend is not None


@pytest.mark.parametrize("later", [False, True])
def test_a_class_without_a_price_does_not_stop_the_view(catalog: Catalog, *, later: bool) -> None:
    queued(catalog, 1)
    with catalog.write() as connection:
        connection.execute(update(images).values(storage_class="SNOW"))
    looker = Looker(catalog=catalog, settings=Settings(), later=later)

    seen = looker.look()
    while seen.billing:
        seen = looker.look()

    assert (seen.spend, seen.newest.states) == (None, {Status.PROCESSING: 1})
    assert any("no storage class SNOW" in line for line in shown(seen, "", rows=40))


def test_a_look_does_not_wait_for_a_bill_that_may_come_later(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, may_end = top.spend, Event()

    def slow(*arguments: Any) -> top.Spend:
        may_end.wait()
        return whole(*arguments)

    monkeypatch.setattr(top, "spend", slow)
    looker = Looker(catalog=catalog, settings=Settings(), later=True)

    first = looker.look()
    may_end.set()
    while (last := looker.look()).billing:
        pass

    assert (first.billing, first.spend) == (True, None)
    assert last.spend is not None


def test_no_statement_of_a_look_scans_the_table(catalog: Catalog) -> None:
    queued(catalog, 300)
    on_postgres, plans = catalog.dialect == POSTGRES, list[str]()

    def explain(
        _connection: Connection, cursor: DBAPICursor, statement: str, parameters: Any, _context: object, _many: bool
    ) -> None:
        # With few rows Postgres prefers a sequential scan.
        for before in ("SET LOCAL enable_seqscan = off",) if on_postgres else ():
            cursor.execute(before)
        cursor.execute(f"EXPLAIN {'' if on_postgres else 'QUERY PLAN '}{statement}", parameters)
        plans.extend(" ".join(map(str, row)) for row in cursor.fetchall())

    with catalog.read() as connection:
        event.listen(connection, "before_cursor_execute", explain)
        queue_head(connection, stuck_seconds=1)
        newest_rows(connection, stuck_seconds=1)
        leased_now(connection)
        frontier(connection)
        ended_between(connection, UUID(int=0), UUID(int=2**128 - 1))

    assert sum("INDEX" in line.upper() for line in plans) >= 5, plans
    assert not [line for line in plans if "Seq Scan on images" in line or line.endswith("SCAN images")]
