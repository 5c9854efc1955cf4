"""An erasure leaves nothing of a user, in any state of the archive, beside other runs, and after a kill."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, update

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.errors import StoreUnsupported
from imgctl.keys import key_of, new_id
from imgctl.model import NewImage, Status, Variant
from imgctl.ops.common.open import Parts
from imgctl.ops.common.signed_reports import read_signed, signed_report
from imgctl.ops.common.spend import Terms
from imgctl.ops.erase.late_puts import delete_if_erased
from imgctl.ops.erase.options import EraseOrder, Fate, Outcome
from imgctl.ops.erase.receipt import write_receipt
from imgctl.ops.erase.start import erase
from imgctl.ops.erase.survey import survey
from imgctl.pricing.card_files import load_card
from imgctl.pricing.estimate import Billing
from imgctl.store.blobs.base import BlobStore, Remnant
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.holds import hold, release
from imgctl.store.catalog.queries.reservations import confirm, keep, promise
from imgctl.store.catalog.queries.results import Finished, finish
from imgctl.store.catalog.schema import erased as erased_rows
from imgctl.store.catalog.schema import images
from tests.parts.clouds import CloudServer
from tests.parts.proxy import fault_proxy
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.store.catalog.rows import walk

MINE, OTHER = UUID("0190b2b4-0000-7000-8000-000000000001"), UUID("0190b2b4-0000-7000-8000-000000000002")
SECRET = "what signs receipts"
JPEG = "image/jpeg"


@pytest.fixture(params=["directory", "seaweed", "seaweed versions", "moto versions", "azurite", "gcs"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Each kind of store."""
    kind, _, versions = request.param.partition(" ")
    if kind == "directory":
        return StoreSettings(url=f"file://{tmp_path}/blobs")
    if kind in ("azurite", "gcs"):
        cloud: CloudServer = request.getfixturevalue(kind)
        return cloud.settings(cloud.new_bucket(), prefix="archive")
    server: S3Server = request.getfixturevalue({"seaweed": "seaweed", "moto": "moto_s3"}[kind])
    bucket = server.new_bucket()
    if versions:
        server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return server.settings(bucket, prefix="archive")


@pytest.fixture
def parts(catalog: Catalog, settings: StoreSettings) -> Iterator[Parts]:
    yield Parts(settings=Settings(store=settings), catalog=catalog, store=open_store(settings))


def erased(parts: Parts, **order: object) -> dict[Fate, int]:
    """Erase the user and count the fates."""
    wanted = EraseOrder(user_id=MINE, secret=SECRET, grace_seconds=0.0, concurrency=4, **order)  # type: ignore[arg-type]
    counts: dict[Fate, int] = {}
    for one in erase(parts, wanted, stop=Event()):
        counts[one.fate] = counts.get(one.fate, 0) + 1
    return counts


def contents(store: BlobStore) -> dict[str, int]:
    """Every version of every blob, with its size."""
    return {one.name: one.size for one in store.remnants([""])}


def promised(parts: Parts, user_id: UUID, number: int) -> NewImage:
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number)
    image_id = new_id(at)
    row = NewImage(
        id=image_id, user_id=user_id, uploaded_at=at, original_key=key_of(image_id, "original", "jpg"),
        sha256=sha256(b"%d" % number).digest(), bytes=8, content_type=JPEG, caption="private", name="private.jpg",
    )  # fmt: skip
    with parts.catalog.write() as connection:
        promise(connection, [row])
    return row


def put(store: BlobStore, *keys: str) -> None:
    for key in keys:
        store.replace(key, key[-8:].encode(), content_type=JPEG)


def variants(image_id: UUID) -> list[str]:
    return [key_of(image_id, one, "jpg") for one in Variant]


def grow(parts: Parts, user_id: UUID, number: int, rng: random.Random) -> None:
    """Add one image in a random state, with the blobs that it may have."""
    row, store = promised(parts, user_id, number), parts.store
    state = rng.choice(["promised", "uploading", "processing", "claimed", "ready", "building", "archived", "failed"])
    if state != "promised":
        put(store, row.original_key)
    if state not in ("promised", "uploading"):
        with parts.catalog.write() as connection:
            confirm(connection, [row.id])
    lease = datetime.now(UTC) + timedelta(seconds=0.3)
    if state in ("claimed", "building", "failed") or rng.random() < 0.2:
        put(store, *rng.sample(variants(row.id), 2))
    if state in ("ready", "building", "archived"):
        put(store, *variants(row.id))
    status = {"claimed": Status.PROCESSING, "failed": Status.FAILED}.get(state, Status.READY)
    values: dict[str, object] = {"leased_until": lease} if state in ("claimed", "building") else {}
    if state in ("claimed", "failed", "ready", "building", "archived"):
        names = {f"{one}_key": key for one, key in zip(Variant, variants(row.id), strict=True)}
        with parts.catalog.write() as connection:
            mine = update(images).where(images.c.id == row.id)
            connection.execute(mine.values(status=status, **values, **(names if status is Status.READY else {})))
    if state == "archived" and parts.settings.store.url.startswith("file://"):
        found = store.head(row.original_key)
        assert found is not None
        store.move(row.original_key, to="GLACIER", etag=found.etag)
    if rng.random() < 0.3:
        put(store, f"trash/2026-03-02/{row.original_key}", row.original_key.replace(".jpg", ".webp"))
    if rng.random() < 0.3 and state != "promised":
        store.replace(variants(row.id)[0], b"an older version", content_type=JPEG)
        store.delete([variants(row.id)[0]])


@pytest.mark.parametrize("seed", range(rounds(1, 20)))
def test_an_erased_user_has_no_data_left_and_other_users_are_unchanged(parts: Parts, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(12):
        grow(parts, OTHER, number, rng)
    before = contents(parts.store)
    with parts.catalog.read() as connection:
        rows = walk(connection)
    for number in range(12, 28):
        grow(parts, MINE, number, rng)

    counts = erased(parts)

    assert counts == {Fate.ERASED: 16}
    assert contents(parts.store) == before
    with parts.catalog.read() as connection:
        assert walk(connection) == rows
    assert erased(parts) == {}


def test_a_hold_placed_during_an_erasure_stops_it(parts: Parts) -> None:
    row = promised(parts, MINE, 1)
    put(parts.store, row.original_key)
    assert erased(parts, wait_seconds=0.0) == {Fate.ERASED: 1}
    row = promised(parts, MINE, 2)
    put(parts.store, row.original_key)
    with parts.catalog.write() as connection:
        hold(connection, new_id(datetime.now(UTC)), MINE, reason="case", by="me")

    assert erased(parts) == {Fate.HELD: 1}
    assert len(contents(parts.store)) == 1


def test_an_erasure_begun_with_another_secret_goes_on_only_if_nobody_is_held(parts: Parts) -> None:
    row = promised(parts, MINE, 1)
    begun = EraseOrder(user_id=MINE, secret="another", wait_seconds=0.0)
    assert [one.fate for one in erase(parts, begun, stop=Event())] == [Fate.WAITING]
    put(parts.store, row.original_key)
    on_mine, on_other = new_id(datetime.now(UTC)), new_id(datetime.now(UTC))
    with parts.catalog.write() as connection:
        hold(connection, on_mine, MINE, reason="case", by="me")
        hold(connection, on_other, OTHER, reason="case", by="me")

    def unfinished(secret: str) -> list[Outcome]:
        return list(erase(parts, EraseOrder(unfinished=True, secret=secret, wait_seconds=0.0), stop=Event()))

    (unknown,), (held,) = unfinished(SECRET), unfinished("another")
    assert (unknown.fate, held.fate) == (Fate.HELD, Fate.HELD)
    assert "another [serve] secret" in unknown.detail
    assert len(contents(parts.store)) == 1
    with parts.catalog.write() as connection:
        release(connection, hold_id=on_mine, by="me")
    assert [one.fate for one in unfinished(SECRET)] == [Fate.HELD]
    assert len(contents(parts.store)) == 1
    assert [one.fate for one in unfinished("another")] == [Fate.WAITING]
    assert contents(parts.store) == {}


@pytest.mark.parametrize("restored", [False, True], ids=["with its tombstone", "without it"])
def test_a_receipt_names_the_secret_that_an_erasure_began_with(parts: Parts, tmp_path: Path, *, restored: bool) -> None:
    row, receipt = promised(parts, MINE, 1), tmp_path / "receipt"
    begun = EraseOrder(user_id=MINE, secret="another", wait_seconds=0.0)
    assert [one.fate for one in erase(parts, begun, stop=Event())] == [Fate.WAITING]
    with parts.catalog.write() as connection:
        connection.execute(update(erased_rows).values(settles_at=datetime(2026, 3, 2, tzinfo=UTC)))
    ended = EraseOrder(unfinished=True, secret=SECRET)
    assert [one.fate for one in erase(parts, ended, stop=Event())] == [Fate.ERASED]
    write_receipt(parts, EraseOrder(ids=(row.id,), secret=SECRET), receipt, stop=Event())
    put(parts.store, row.original_key)
    with parts.catalog.write() as connection:
        if restored:
            connection.execute(delete(erased_rows))
        hold(connection, new_id(datetime.now(UTC)), MINE, reason="case", by="me")

    again = EraseOrder(receipts=(receipt,), secret=SECRET, wait_seconds=0.0)
    (outcome,) = erase(parts, again, stop=Event())

    assert (outcome.fate, "another [serve] secret" in outcome.detail) == (Fate.HELD, True)
    assert len(contents(parts.store)) == 1


@pytest.mark.parametrize("of_user", [True, False], ids=["for a user", "for ids"])
def test_a_receipt_of_the_first_candidate_tells_the_secret_only_if_it_is_for_a_user(
    parts: Parts, tmp_path: Path, *, of_user: bool
) -> None:
    row, receipt, older = promised(parts, MINE, 1), tmp_path / "receipt", tmp_path / "older"
    assert erased(parts) == {Fate.ERASED: 1}
    chosen = EraseOrder(user_id=MINE, secret=SECRET) if of_user else EraseOrder(ids=(row.id,), secret=SECRET)
    write_receipt(parts, chosen, receipt, stop=Event())
    with signed_report(older, SECRET) as report:
        for record in read_signed(receipt, SECRET):
            report.add({name: value for name, value in record.items() if name != "secret"})
        report.sign()
    put(parts.store, row.original_key)
    with parts.catalog.write() as connection:
        connection.execute(delete(erased_rows))
        hold(connection, new_id(datetime.now(UTC)), OTHER, reason="case", by="me")

    (outcome,) = erase(parts, EraseOrder(receipts=(older,), secret=SECRET), stop=Event())

    assert (outcome.fate, len(contents(parts.store))) == ((Fate.ERASED, 0) if of_user else (Fate.HELD, 1))


def test_an_image_that_is_erased_again_is_of_the_owner_by_the_new_secret(parts: Parts) -> None:
    row = promised(parts, MINE, 1)
    with parts.catalog.read() as connection:
        backup = connection.execute(select(images)).mappings().one()
    first = EraseOrder(user_id=MINE, secret="another", grace_seconds=0.0)
    assert [one.fate for one in erase(parts, first, stop=Event())] == [Fate.ERASED]
    with parts.catalog.write() as connection:
        connection.execute(insert(images).values(**backup))
    again = EraseOrder(user_id=MINE, secret=SECRET, wait_seconds=0.0)
    assert [one.fate for one in erase(parts, again, stop=Event())] == [Fate.WAITING]
    put(parts.store, row.original_key)
    with parts.catalog.write() as connection:
        hold(connection, new_id(datetime.now(UTC)), MINE, reason="case", by="me")

    assert [one.fate for one in erase(parts, again, stop=Event())] == [Fate.HELD]
    assert len(contents(parts.store)) == 1


def test_a_worker_that_holds_an_erased_row_loses_it_and_deletes_its_variants(parts: Parts) -> None:
    row = promised(parts, MINE, 1)
    put(parts.store, row.original_key)
    with parts.catalog.write() as connection:
        confirm(connection, [row.id])
        (one,) = claim(connection, limit=1, lease_seconds=0.3, max_attempts=3)

    assert erased(parts) == {Fate.ERASED: 1}
    put(parts.store, *variants(row.id))
    thumb, medium, full = variants(row.id)
    late = Finished(id=one.id, attempts=one.attempts, thumb_key=thumb, medium_key=medium, full_key=full)
    with parts.catalog.write() as connection:
        assert finish(connection, [late]) == set()
    delete_if_erased(parts.catalog, parts.store, parts.settings.store, [row.id], stop=Event())

    assert contents(parts.store) == {}


def test_an_upload_that_ends_after_the_erasure_leaves_no_blob_and_no_row(parts: Parts) -> None:
    row = promised(parts, MINE, 1)

    assert erased(parts) == {Fate.ERASED: 1}
    put(parts.store, row.original_key)
    with parts.catalog.write() as connection:
        gone = keep(connection, [row])
    delete_if_erased(parts.catalog, parts.store, parts.settings.store, gone, stop=Event())

    assert gone == {row.id}
    assert contents(parts.store) == {}
    with parts.catalog.read() as connection:
        assert walk(connection) == []


def test_a_tombstone_waits_for_uploads_that_may_still_put(parts: Parts) -> None:
    row = promised(parts, MINE, 1)
    wanted = EraseOrder(user_id=MINE, secret=SECRET, grace_seconds=3600.0, wait_seconds=0.0)

    first = [one.fate for one in erase(parts, wanted, stop=Event())]
    put(parts.store, row.original_key)
    second = [one.fate for one in erase(parts, wanted, stop=Event())]

    assert (first, second) == ([Fate.WAITING], [Fate.WAITING])
    assert contents(parts.store) == {}


def test_uploads_that_a_store_cannot_list_are_reported_as_left(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(_store: BlobStore) -> Iterator[Remnant]:
        raise StoreUnsupported("ListMultipartUploads is not implemented")

    promised(parts, MINE, 1)
    monkeypatch.setattr(type(parts.store), "uploads", unsupported)

    assert erased(parts) == {Fate.ERASED: 1}
    assert caplog.messages == ["unfinished multipart uploads are not deleted: ListMultipartUploads is not implemented"]


def test_an_image_in_two_receipts_counts_once(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (promised(parts, MINE, number) for number in range(2))
    put(parts.store, first.original_key, second.original_key)
    order = EraseOrder(ids=(first.id, second.id), secret=SECRET, grace_seconds=0.0)
    again = EraseOrder(receipts=(tmp_path / "1", tmp_path / "2"), secret=SECRET, grace_seconds=0.0)
    assert {one.fate for one in erase(parts, order, stop=Event())} == {Fate.ERASED}
    for file in again.receipts:
        write_receipt(parts, order, file, stop=Event())
    # Pages of one row: both pages name the same images.
    monkeypatch.setattr("imgctl.ops.erase.subject.PAGE_ROWS", 1)

    fates = [one.fate for one in erase(parts, again, stop=Event())]
    receipt = write_receipt(parts, again, tmp_path / "3", stop=Event())

    assert fates == [Fate.ERASED] * 2
    assert receipt is not None
    assert (receipt.images, receipt.blobs, receipt.bytes) == (2, 2, 16)


def test_the_estimate_counts_every_listing_of_google(
    catalog: Catalog, gcs: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[str] = []

    def note(method: str, path: str, _number: int) -> None:
        if method == "GET" and "prefix=2026" in path:
            listings.append(path)

    with fault_proxy(gcs.endpoint_url, policy=note) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        settings = replace(gcs.settings(gcs.new_bucket()), endpoint_url=proxy.url)
        parts = Parts(settings=Settings(store=settings), catalog=catalog, store=open_store(settings))
        row = promised(parts, MINE, 1)
        put(parts.store, row.original_key)
        order = EraseOrder(ids=(row.id,), secret=SECRET, grace_seconds=0.0)
        found = survey(parts, order, stop=Event(), tell_url=lambda _: None)
        listings.clear()
        assert [one.fate for one in erase(parts, order, stop=Event())] == [Fate.ERASED]

    (lists,) = found.estimate(Terms(bill=Billing.GOOGLE, card=load_card("gs-us-central1"))).lines
    assert lists.quantity == len(listings)


def is_complete(parts: Parts, order: EraseOrder, file: Path) -> object:
    """Whether a receipt written now says that nothing of its order is left."""
    write_receipt(parts, order, file, stop=Event())
    (summary,) = (one for one in read_signed(file, SECRET) if one["type"] == "summary")
    return summary["complete"]


def test_a_receipt_is_complete_only_if_no_row_of_its_order_is_left(parts: Parts, tmp_path: Path) -> None:
    first, second = (promised(parts, MINE, number) for number in range(2))
    of_first = EraseOrder(ids=(first.id,), secret=SECRET, grace_seconds=0.0)
    assert [one.fate for one in erase(parts, of_first, stop=Event())] == [Fate.ERASED]
    held = new_id(datetime.now(UTC))
    with parts.catalog.write() as connection:
        hold(connection, held, MINE, reason="case", by="me")
    assert erased(parts) == {Fate.HELD: 1}
    orders = (
        EraseOrder(user_id=MINE, secret=SECRET),
        EraseOrder(ids=(first.id, second.id), secret=SECRET),
        of_first,
    )

    before = [is_complete(parts, order, tmp_path / "receipt") for order in orders]
    with parts.catalog.write() as connection:
        release(connection, held, by="me")
    assert erased(parts) == {Fate.ERASED: 1}
    after = [is_complete(parts, order, tmp_path / "receipt") for order in orders]

    assert (before, after) == ([False, False, True], [True, True, True])


class StopAfterOneLook(Event):
    """A stop that arrives after it was first looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 1


def test_a_receipt_that_a_stop_cut_short_is_not_written(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (promised(parts, MINE, number) for number in range(2))
    order = EraseOrder(ids=(first.id, second.id), secret=SECRET, grace_seconds=0.0)
    assert {one.fate for one in erase(parts, order, stop=Event())} == {Fate.ERASED}
    monkeypatch.setattr("imgctl.ops.erase.subject.PAGE_ROWS", 1)

    receipt = write_receipt(parts, order, tmp_path / "receipt", stop=StopAfterOneLook())

    assert receipt is None
    assert not (tmp_path / "receipt").exists()


class Killed(BaseException):
    """Simulates a kill: no code after it runs."""


@pytest.mark.parametrize("seed", range(rounds(1, 50)))
def test_a_killed_erasure_is_completed_by_the_same_command(
    parts: Parts, seed: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # Killed at another call on each database and store.
    rng = random.Random(f"{request.node.name} {seed}")
    for number in range(4):
        grow(parts, OTHER, number, rng)
    before = contents(parts.store)
    for number in range(4, 10):
        grow(parts, MINE, number, rng)
    left = rng.randrange(24)

    def counted(method: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return method(*arguments, **named)

        return counting

    with monkeypatch.context() as patched:
        for name in ("remnants", "purge"):
            patched.setattr(parts.store, name, counted(getattr(parts.store, name)), raising=False)
        patched.setattr(type(parts.catalog), "write", counted(type(parts.catalog).write))
        with suppress(Killed):
            erased(parts)

    counts = erased(parts)

    assert set(counts) <= {Fate.ERASED}
    assert contents(parts.store) == before
    with parts.catalog.read() as connection:
        assert {image.user_id for image in walk(connection)} == {OTHER}
