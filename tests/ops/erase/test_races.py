"""A run of any kind that holds a row while its image is erased loses it and leaves no blob."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import Connection, text, update

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings, UploadSettings, WorkSettings
from imgctl.errors import CatalogUnavailable, StoreError
from imgctl.imaging.recipe_digest import digest
from imgctl.keys import PROBES, new_id
from imgctl.model import Image, StorageClass
from imgctl.ops.backfill.options import BackfillOrder, Mode, Selection
from imgctl.ops.backfill.start import backfill
from imgctl.ops.common.open import Parts
from imgctl.ops.erase.options import Fate, Notes
from imgctl.ops.erase.wipe import Everything, Wiper
from imgctl.ops.holds import TooLate, place, too_late
from imgctl.ops.repair.options import Fate as RepairFate
from imgctl.ops.repair.trash import carry, trash_key, undelete
from imgctl.ops.transition.move import transition
from imgctl.ops.transition.options import Policy, TransitionOrder
from imgctl.ops.transition.survey import judges
from imgctl.ops.upload.options import Selection as Files
from imgctl.ops.upload.options import UploadOrder
from imgctl.ops.upload.start import uploading
from imgctl.ops.work.queue import work_here
from imgctl.pricing.card_files import load_card
from imgctl.run.stop import Stop
from imgctl.store.blobs.base import BlobStore, Remnant
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.lease import leased_of, still_leased
from imgctl.store.catalog.queries.erased import Mark, mark
from imgctl.store.catalog.queries.holds import hold
from imgctl.store.catalog.queries.storage_class import Seen, promise_moves
from imgctl.store.catalog.schema import images
from tests.ops.erase.test_erase import MINE, OTHER, SECRET, contents, erased
from tests.parts.postgres import sqlite_catalog
from tests.parts.seaweed import S3Server
from tests.store.catalog.rows import walk
from tests.whole.conftest import photo

LEASE_SECONDS = 0.5
Racer = Callable[[Parts, Path], list[str]]


@pytest.fixture(params=["sqlite directory", "postgres seaweed"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    """A directory with SQLite, and a bucket that keeps versions with Postgres."""
    database, kind = request.param.split()
    url = sqlite_catalog(tmp_path) if database == "sqlite" else request.getfixturevalue("postgres_url")
    place = StoreSettings(url=f"file://{tmp_path}/blobs")
    if kind != "directory":
        server: S3Server = request.getfixturevalue(kind)
        place = server.settings(bucket := server.new_bucket(), prefix="archive")
        server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    settings = Settings(
        catalog=CatalogSettings(url=url),
        store=place,
        upload=UploadSettings(concurrency=1),
        work=WorkSettings(scheduler="inline", lease=LEASE_SECONDS),
    )
    with closing(open_catalog(url)) as catalog:
        yield Parts(settings=settings, catalog=catalog, store=open_store(place))


def upload(parts: Parts, place: Path, *, user: UUID = MINE) -> list[str]:
    (place / "album").mkdir(exist_ok=True)
    (file := place / "album" / f"{user}.jpg").write_bytes(photo(1))
    files = Files(paths=(str(file),), user_id=user)
    how = uploading(
        parts.settings, files, UploadOrder(), store=parts.store, journal=None, stop=Event(), report=pytest.fail
    )
    with how as outcomes:
        return [str(one.reason or one.fate) for one in outcomes]


def work(parts: Parts, _place: Path) -> list[str]:
    return [str(one.fate) for one in work_here(parts, stop=Stop(), drain=True)]


def fill(parts: Parts, _place: Path) -> list[str]:
    chosen = Selection(mode=Mode.FORCE, recipe=digest(parts.settings.variants.recipe()))
    with backfill(BackfillOrder(selection=chosen), parts, stop=Stop(), anew=True) as run:
        return [str(one.fate) for one in run.outcomes(limit=None)]


def move(parts: Parts, _place: Path) -> list[str]:
    # Not GLACIER: SeaweedFS has no restore.
    policy = Policy(to=StorageClass.GLACIER_IR, card=load_card(), at=datetime.now(UTC), min_size=0)
    order = TransitionOrder(policy=policy, lease_seconds=LEASE_SECONDS, concurrency=1)
    with judges(order, parts=parts, stop=Event()) as looking:
        return [str(one.fate) for one in transition(looking, order, parts=parts, stop=Event())]


RACERS: dict[str, tuple[Racer, str, tuple[Racer, ...], str]] = {
    "upload": (upload, "create", (), "erased"),
    "work": (work, "replace", (upload,), "lost"),
    "backfill": (fill, "replace", (upload, work), "lost"),
    "transition": (move, "move", (upload, work), "left_out"),
}
"""The racing run, the store call at which the erasure starts, the runs before, and the fate of the lost image."""


def other_of(parts: Parts) -> Image:
    """The other user's only image."""
    with parts.catalog.read() as connection:
        (found,) = (image for image in walk(connection) if image.user_id == OTHER)
    return found


class Race:
    """Erases the user at the racer's first store call for them, then lets the call through;
    `amid`: lets it through after the erasure has listed the blobs, before it deletes them. `counts` are its fates. With
    `holds` the user is held once the erasure has ended.
    """

    def __init__(
        self, parts: Parts, patched: pytest.MonkeyPatch, method: str, *, amid: bool, holds: bool = False
    ) -> None:
        self.counts: dict[Fate, int] | None = None
        self._holds = holds
        self._parts = parts
        self._other = str(other_of(parts).id)
        self._patched = patched
        self._kind: type[BlobStore] = type(parts.store)
        self._method: Callable[..., object] = getattr(self._kind, method)
        patched.setattr(self._kind, method, self._racing(self._amid if amid else self._late))

    def _racing(self, race: Callable[[Callable[[], object]], object]) -> Callable[..., object]:
        def called(store: BlobStore, key: str, *arguments: object, **named: object) -> object:
            call = partial(self._method, store, key, *arguments, **named)
            if self.counts is not None or self._other in key or key.startswith(PROBES):
                return call()
            self.counts = {}
            return race(call)

        return called

    def _late(self, call: Callable[[], object]) -> object:
        self.counts = erased(self._parts)
        if self._holds:
            held_from_now_on(self._parts)
        return call()

    def _amid(self, call: Callable[[], object]) -> object:
        answers: list[object] = []
        purge = self._kind.purge

        def purged(store: BlobStore, remnants: Iterable[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
            listed = list(remnants)
            if not answers:
                answers.append(call())
            return purge(store, listed)

        with self._patched.context() as patched:
            patched.setattr(self._kind, "purge", purged)
            self.counts = erased(self._parts, wait_seconds=0.0)
        # An image that was only promised has no blob to delete.
        return answers[0] if answers else call()


def left_of_user(parts: Parts) -> set[str]:
    """The keys in the store that are not the other user's."""
    other = str(other_of(parts).id)
    return {key for key in contents(parts.store) if other not in key and not key.startswith(PROBES)}


@pytest.mark.parametrize("amid", [False, True], ids=["late", "amid"])
@pytest.mark.parametrize("name", RACERS)
def test_a_run_that_holds_an_erased_row_loses_it_and_leaves_no_blob(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, amid: bool
) -> None:
    racer, method, before, lost = RACERS[name]
    upload(parts, tmp_path, user=OTHER)
    for one in before:
        one(parts, tmp_path)

    with monkeypatch.context() as patched:
        race = Race(parts, patched, method, amid=amid)
        fates = racer(parts, tmp_path)

    assert race.counts in ({Fate.ERASED: 1}, {Fate.WAITING: 1})
    assert fates[-1] == lost
    assert left_of_user(parts) == set()
    assert set(erased(parts)) <= {Fate.ERASED}
    assert left_of_user(parts) == set()


def test_a_blob_undeleted_during_its_erasure_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Parts
) -> None:
    upload(parts, tmp_path, user=OTHER)
    upload(parts, tmp_path)
    with parts.catalog.read() as connection:
        key = str(walk(connection)[-1].original_key)
    found = parts.store.head(key)
    assert found is not None
    carry(parts.store, found, trash_key(key, found.modified_at.date()), certain=lambda: True)

    def copied_late(store: BlobStore, source: str, target: str, **_: object) -> None:
        """A server that reads the source before the erasure and writes the copy after it."""
        body = store.get(source)
        assert erased(parts) == {Fate.ERASED: 1}
        store.replace(target, body, content_type="image/jpeg")

    with monkeypatch.context() as patched:
        patched.setattr(type(parts.store), "copy", copied_late)
        (one,) = undelete(parts, None, apply=True, stop=Event())

    assert (one.fate, one.detail) == (RepairFate.LEFT, "its image was erased")
    assert left_of_user(parts) == set()


def test_no_hold_is_placed_while_images_leave_the_catalog(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold placed meanwhile would be in force with its rows gone: it comes before an erasure or after it."""
    settings = Settings(catalog=CatalogSettings(url=postgres_url), store=StoreSettings(url=f"file://{tmp_path}/blobs"))
    with closing(open_catalog(postgres_url)) as catalog:
        parts = Parts(settings=settings, catalog=catalog, store=open_store(settings.store))
        upload(parts, tmp_path)
        placing = partial(hold, hold_id=new_id(datetime.now(UTC)), user_id=MINE, reason="case 4711", by="sam")

        def marked(connection: Connection, marks: Sequence[Mark]) -> None:
            with pytest.raises(CatalogUnavailable, match="lock timeout"), catalog.write() as other:
                other.execute(text("SET LOCAL lock_timeout = '50ms'"))
                placing(other)
            mark(connection, marks)

        monkeypatch.setattr("imgctl.ops.erase.start.mark", marked)
        counts = erased(parts)
        with catalog.write() as connection:
            placing(connection)

    assert counts == {Fate.ERASED: 1}


def test_a_hold_placed_while_blobs_are_listed_keeps_them(parts: Parts, tmp_path: Path) -> None:
    upload(parts, tmp_path)
    before = contents(parts.store)
    look = Wiper.look

    def looked(wiper: Wiper, images: Iterable[tuple[UUID, Notes]]) -> Everything:
        found = look(wiper, images)
        with parts.catalog.write() as connection:
            hold(connection, new_id(datetime.now(UTC)), MINE, reason="case 4711", by="sam")
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Wiper, "look", looked)
        counts = erased(parts)

    assert counts == {Fate.HELD: 1}
    assert contents(parts.store) == before


def knowing(parts: Parts, secret: str = SECRET) -> Parts:
    """The parts with a secret, by which a hold compares owners."""
    settings = replace(parts.settings, serve=replace(parts.settings.serve, secret=secret))
    return replace(parts, settings=settings)


def held_from_now_on(parts: Parts) -> TooLate:
    return too_late(parts, place(parts, MINE, reason="case 4711", object_lock=False, stop=Event()), stop=Event())


def test_a_hold_before_the_deletion_stops_it_and_one_after_it_is_too_late(parts: Parts, tmp_path: Path) -> None:
    upload(parts, tmp_path)
    upload(parts, tmp_path, user=OTHER)
    purge = type(parts.store).purge
    late: list[TooLate] = []

    def purged(store: BlobStore, remnants: Iterable[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
        late.append(held_from_now_on(knowing(parts)))
        return purge(store, remnants)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(parts.store), "purge", purged)
        counts = erased(parts)

    # This deletion had passed the check of holds; no other did.
    assert (late[0].erasing, late[0].begun) == (1, 1)
    assert counts == {Fate.HELD: 1}
    assert held_from_now_on(knowing(parts)) == late[0]
    # An owner that cannot be compared may be this user.
    for secret in ("another secret", ""):
        found = held_from_now_on(knowing(parts, secret))
        assert found == TooLate(unknown=1)
        assert "again with the [serve] secret of that erasure" in " ".join(found.lines)


def test_a_hold_while_blobs_are_listed_is_not_too_late_for_them(parts: Parts, tmp_path: Path) -> None:
    upload(parts, tmp_path)
    look = Wiper.look
    late: list[TooLate] = []

    def looked(wiper: Wiper, images: Iterable[tuple[UUID, Notes]]) -> Everything:
        found = look(wiper, images)
        late.append(held_from_now_on(knowing(parts)))
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Wiper, "look", looked)
        counts = erased(parts)

    assert counts == {Fate.HELD: 1}
    assert (late[0].erasing, late[0].begun) == (1, 0)
    assert late[0] == held_from_now_on(knowing(parts))


@pytest.mark.parametrize("name", RACERS)
def test_a_late_run_deletes_nothing_of_an_erasure_that_a_hold_stopped(parts: Parts, tmp_path: Path, name: str) -> None:
    racer, method, before, lost = RACERS[name]
    upload(parts, tmp_path, user=OTHER)
    for one in before:
        one(parts, tmp_path)
    look = Wiper.look

    def looked(wiper: Wiper, images: Iterable[tuple[UUID, Notes]]) -> Everything:
        found = look(wiper, images)
        held_from_now_on(parts)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Wiper, "look", looked)
        race = Race(parts, patched, method, amid=False)
        fates = racer(parts, tmp_path)

    assert (race.counts, fates[-1]) == ({Fate.HELD: 1}, lost)
    assert any("-original." in key for key in left_of_user(parts))


# A transition finds no original to move then.
@pytest.mark.parametrize("name", ["upload", "work", "backfill"])
def test_a_late_run_deletes_nothing_after_an_erasure_whose_owner_is_held_since(
    parts: Parts, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    racer, method, before, lost = RACERS[name]
    upload(parts, tmp_path, user=OTHER)
    for one in before:
        one(parts, tmp_path)

    with pytest.MonkeyPatch.context() as patched:
        race = Race(parts, patched, method, amid=False, holds=True)
        fates = racer(parts, tmp_path)

    assert (race.counts, fates[-1]) == ({Fate.ERASED: 1}, lost)
    assert left_of_user(parts)
    assert "late blobs of 1 erased image stay" in caplog.text


def test_a_hold_reports_moves_that_may_still_delete_an_old_version(parts: Parts, tmp_path: Path) -> None:
    upload(parts, tmp_path)
    work(parts, tmp_path)
    with parts.catalog.read() as connection:
        (row,) = walk(connection)
    seen = Seen(id=row.id, attempts=row.attempts, original_key=row.original_key or "", storage_class=None)

    def promise(seconds: float) -> None:
        with parts.catalog.write() as connection:
            connection.execute(update(images).values(storage_class=None, leased_until=None, attempts=seen.attempts))
            promise_moves(connection, [seen], to="GLACIER", lease_seconds=seconds)

    promise(60.0)
    lasting = held_from_now_on(parts)
    promise(86_400.0)
    at_aws = held_from_now_on(parts)

    assert [one.moving for one in (lasting, at_aws)] == [1, 0]


def test_a_run_whose_lease_expires_while_a_hold_waits_may_be_late_and_not_dead(parts: Parts, tmp_path: Path) -> None:
    upload(parts, tmp_path)
    work(parts, tmp_path)
    with parts.catalog.write() as connection:
        connection.execute(update(images).values(leased_until=datetime.now(UTC) + timedelta(minutes=1)))
        leased = leased_of(connection, MINE, limit=10)
        connection.execute(update(images).values(leased_until=datetime(2020, 1, 1, tzinfo=UTC)))
        expired = still_leased(connection, leased)
        connection.execute(update(images).values(leased_until=None))
        released = still_leased(connection, leased)

    assert (len(leased), expired, released) == (1, leased, [])
