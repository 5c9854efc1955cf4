"""An archive split into any segments is audited completely, each key once."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.cli.common.types import TIME
from imgctl.errors import StateError
from imgctl.keys import FIRST, ORIGINAL, first_id, key_of
from imgctl.model import Variant
from imgctl.ops.audit import segments, start
from imgctl.ops.audit.findings import Code
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.segments import Segment, outside
from imgctl.ops.common.rows import Chosen
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import Scope
from tests.ops.audit.archive import AT_ONCE, Archive, archive_of, local, summary
from tests.parts.seaweed import S3Server
from tests.soak import rounds

PREFIXES = st.sampled_from([("",), ("originals/", "variants/"), ("o/", "")])
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=rounds(25, 200))
@given(prefixes=PREFIXES, moments=st.lists(MOMENTS, max_size=3), at=MOMENTS, text=st.text(min_size=1, max_size=8))
def test_every_key_is_in_exactly_one_segment(
    prefixes: tuple[str, ...], moments: list[datetime], at: datetime, text: str
) -> None:
    ends = sorted(first_id(one) for one in moments)
    pieces = [Segment(after=low, until=high) for low, high in zip([FIRST, *ends], [*ends, None], strict=True)]
    bounds = [piece.bounds(prefix) for piece in pieces for prefix in prefixes]
    bounds += [piece.outside for piece in outside(prefixes) if piece.outside]
    keys = [
        text,
        *(key_of(first_id(at), role, "jpg", prefix=prefix) for role in (ORIGINAL, "thumb") for prefix in prefixes),
    ]

    for key in keys:
        assert sum(key > low and (not high or key <= high) for low, high in bounds) == 1


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of three rows, so that a few photos make many."""
    monkeypatch.setattr(segments, "ROWS", 3)


@pytest.fixture(params=["directory", "bucket"])
def archive(request: pytest.FixtureRequest, catalog: Catalog, tmp_path: Path) -> Archive:
    """Both kinds of store over both databases, with twenty photos."""
    if request.param == "directory":
        return _filled(archive_of(catalog, local(tmp_path)))
    server: S3Server = request.getfixturevalue("seaweed")
    return _filled(archive_of(catalog, server.settings(server.new_bucket(), prefix="archive")))


def _filled(archive: Archive) -> Archive:
    archive.add(10, age=timedelta(days=40))
    archive.add(10)
    return archive


@pytest.mark.usefixtures("small_pieces")
def test_segments_together_find_all_damage(archive: Archive) -> None:
    missing = [archive.photos[number] for number in (2, 3, 12, 19)]
    for photo in missing:
        archive.delete(photo.keys["thumb"])
    archive.forget(archive.photos[5])
    archive.put("aaa.txt", b"x")
    archive.put("zzz.txt", b"x")
    archive.put("trash/2026/holiday.jpg", b"taken away by a repair")
    archive.put("imgctl-batch/20261122T120000Z-GLACIER.csv", b"the list of a batch job")
    expected = [(Code.MISSING_VARIANT, photo.keys["thumb"]) for photo in missing]
    expected += [(Code.ORPHAN_BLOB, key) for key in archive.photos[5].keys.values()]
    expected += [(Code.UNKNOWN_KEY, "aaa.txt"), (Code.UNKNOWN_KEY, "zzz.txt")]
    tally = Tally()

    assert summary(archive.audit(tally=tally)) == sorted(expected)
    assert tally.rows == 19


def test_an_audit_of_some_days_finds_only_their_damage(archive: Archive) -> None:
    old, new = archive.photos[4], archive.photos[14]
    for photo in (old, new):
        archive.delete(photo.original)
    archive.put("aaa.txt", b"x")
    middle = datetime.now(UTC) - timedelta(days=20)

    def audited(scope: Scope) -> list[tuple[Code, str]]:
        return summary(archive.audit(AuditOrder(chosen=Chosen(scope=scope), grace=AT_ONCE.grace)))

    assert audited(Scope(since=middle)) == [(Code.MISSING_ORIGINAL, new.original)]
    assert audited(Scope(until=middle)) == [(Code.MISSING_ORIGINAL, old.original)]


@pytest.mark.usefixtures("small_pieces")
def test_a_stopped_audit_resumes_from_its_checkpoint(archive: Archive, tmp_path: Path) -> None:
    for photo in archive.photos:
        archive.delete(photo.keys[Variant.THUMB])
    order = AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state")
    stopped, first = _Stop(), []
    for finding in start.audit(archive.parts, order, tally=Tally(), stop=stopped):
        first.append(finding)
        if len(first) == 8:
            stopped.stopped = True
    tally = Tally()
    found = archive.audit(order, tally=tally)

    ids = [photo.id for photo in archive.photos]
    assert [one.id for one in found] == ids
    assert found[:6] == first[:6]
    assert (tally.rows, tally.blobs, tally.findings) == (len(ids), 3 * len(ids), len(ids))
    # Each finding is rechecked, except those in the checkpoint.
    assert tally.heads < 4 * len(ids)
    assert list(tmp_path.glob("state*")) == []


@pytest.mark.usefixtures("small_pieces")
def test_an_audit_of_the_last_days_resumes_from_its_checkpoint(archive: Archive, tmp_path: Path) -> None:
    def order() -> AuditOrder:
        scope = Scope(since=TIME.convert("400d", None, None), until=TIME.convert("0s", None, None))
        return AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state", chosen=Chosen(scope=scope))

    _stop_at_checkpoint(archive, order())

    assert len(archive.audit(order())) == len(archive.photos)


@pytest.mark.usefixtures("small_pieces")
def test_a_checkpoint_whose_findings_are_gone_is_refused(archive: Archive, tmp_path: Path) -> None:
    order = AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state")
    _stop_at_checkpoint(archive, order)
    (tmp_path / "state.findings").write_text("")

    with pytest.raises(StateError, match="lacks findings"):
        archive.audit(order)


@pytest.mark.usefixtures("small_pieces")
def test_a_checkpoint_whose_findings_are_damaged_is_refused(archive: Archive, tmp_path: Path) -> None:
    order = AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state")
    _stop_at_checkpoint(archive, order)
    size = (tmp_path / "state.findings").stat().st_size

    for line in (b"5", b"[]", b"[" * 9000, b"{", b'{"code": "no such"}', b"\xff"):
        (tmp_path / "state.findings").write_bytes((line + b"\n").ljust(size, b" "))
        with pytest.raises(StateError, match="cannot be read"):
            archive.audit(order)


@pytest.mark.usefixtures("small_pieces")
def test_a_checkpoint_with_an_impossible_value_is_refused(archive: Archive, tmp_path: Path) -> None:
    order = AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state")
    _stop_at_checkpoint(archive, order)
    state = json.loads((tmp_path / "state").read_text())

    for field, value in (("rows", "5"), ("blobs", None), ("findings_bytes", -1), ("after", 5)):
        (tmp_path / "state").write_text(json.dumps(state | {field: value}))
        with pytest.raises(StateError, match="cannot be read"):
            archive.audit(order)


def test_two_audits_have_separate_checkpoints(archive: Archive, tmp_path: Path) -> None:
    order = AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state")
    archive.delete(archive.photos[0].original)
    first = start.audit(archive.parts, order, tally=Tally(), stop=_Stop())
    next(first)

    with pytest.raises(StateError, match="another audit"):
        archive.audit(order)
    assert list(first) == []
    assert len(archive.audit(order)) == 1


@pytest.mark.usefixtures("small_pieces")
def test_a_checkpoint_of_another_archive_is_refused(archive: Archive, tmp_path: Path) -> None:
    order = AuditOrder(grace=AT_ONCE.grace, checkpoint=tmp_path / "state")
    _stop_at_checkpoint(archive, order)
    mine = archive.parts.settings
    elsewhere = replace(mine, store=replace(mine.store, url=f"{mine.store.url}-of-another"))

    with pytest.raises(StateError, match="another archive"):
        list(start.audit(replace(archive.parts, settings=elsewhere), order, tally=Tally(), stop=_Stop()))


def _stop_at_checkpoint(archive: Archive, order: AuditOrder) -> None:
    """Lose every thumbnail, and stop an audit at its first checkpoint."""
    assert order.checkpoint is not None
    for photo in archive.photos:
        archive.delete(photo.keys[Variant.THUMB])
    stopped = _Stop()
    for _ in start.audit(archive.parts, order, tally=Tally(), stop=stopped):
        stopped.stopped = order.checkpoint.exists()


class _Stop:
    stopped = False

    def is_set(self) -> bool:
        return self.stopped

    def wait(self, timeout: float | None = None) -> bool:
        return self.stopped
