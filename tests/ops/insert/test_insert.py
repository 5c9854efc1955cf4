"""Insert of blobs that are in the store: a directory, SeaweedFS and moto, SQLite and Postgres."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings, UploadSettings, WorkSettings
from imgctl.dates import EPOCH
from imgctl.errors import BucketMissing, StoreError
from imgctl.imaging.formats import Format
from imgctl.keys import PROBES, parse_key, time_of
from imgctl.model import Image, Status
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import CHUNK_BYTES
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.insert.entries import Manifest
from imgctl.ops.insert.pipeline import derived_id, insert
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.schema import images as images_table
from tests.imaging.containers import HEIGHT, WIDTH, Metadata, short_entry, text_entry, tiff_file
from tests.imaging.films import HEIGHT as FILM_HEIGHT
from tests.imaging.films import WIDTH as FILM_WIDTH
from tests.imaging.films import of_format, with_keys
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server
from tests.store.catalog.rows import walk
from tests.whole.conftest import photo

USER, OTHER = UUID("0190b2b4-0000-7000-8000-000000000001"), UUID("0190b2b4-0000-7000-8000-000000000002")
DAY = datetime(2019, 5, 6, 7, 8, 9, tzinfo=UTC)
RECOGNISER = Recogniser(WorkSettings())
SETTINGS = Settings(upload=UploadSettings(concurrency=4, memory=64 * 2**20))
Line = Mapping[str, str]
Insert = Callable[..., list[FileOutcome]]


@pytest.fixture(params=["file", "seaweed", "moto_s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    if request.param == "file":
        return StoreSettings(url=f"file://{tmp_path}/blobs")
    server = request.getfixturevalue(request.param)
    assert isinstance(server, S3Server)
    return server.settings(server.new_bucket(), prefix="archive")


@pytest.fixture
def store(settings: StoreSettings) -> BlobStore:
    found = open_store(settings)
    for number in range(10):
        found.replace(f"in box/é{number}.jpg", photo(number), content_type="binary/octet-stream")
    return found


@pytest.fixture
def run(store: BlobStore, settings: StoreSettings, catalog: Catalog, tmp_path: Path) -> Insert:
    """Insert these lines, and return every outcome."""

    def act(lines: Iterable[Line], *, dry_run: bool = False) -> list[FileOutcome]:
        entries = Manifest(file=written(tmp_path, lines), store_url=settings.url, own_prefixes=("",)).entries()
        return list(insert(entries, parts_of(catalog, store), recogniser=RECOGNISER, stop=Event(), dry_run=dry_run))

    return act


def parts_of(catalog: Catalog, store: BlobStore) -> Parts:
    return Parts(settings=SETTINGS, catalog=catalog, store=store)


def written(place: Path, lines: Iterable[Line]) -> Path:
    file = place / "manifest.csv"
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["key", "user_id", "caption", "uploaded_at", "name"])
        writer.writeheader()
        writer.writerows(lines)
    return file


def line(number: int, **more: str) -> Line:
    return {"key": f"in box/é{number}.jpg", "user_id": str(USER), **more}


def rows(catalog: Catalog) -> list[Image]:
    with catalog.read() as connection:
        return walk(connection)


def unconfirm(catalog: Catalog) -> None:
    """Reset the rows to their state after a kill between promise and confirmation."""
    with catalog.write() as connection:
        connection.execute(update(images_table).values(status=Status.UPLOADING))


def fates(outcomes: Iterable[FileOutcome]) -> list[tuple[Fate, Reason]]:
    return [(outcome.fate, outcome.reason) for outcome in outcomes]


def test_embedded_metadata_is_read_at_any_position_in_a_blob(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    far = Metadata(
        primary=(text_entry(0x010E, b"Print 17"), short_entry(0x0112, 6)),
        exif=(text_entry(0x9003, b"1987:06:05 12:00:00"),),
        pixels=CHUNK_BYTES + 2**20,
    )
    store.replace("in box/é0.jpg", tiff_file(far), content_type="image/tiff")

    run([line(0), line(1, caption="by hand", name="IMG_4711.jpg")])

    first, second = sorted(rows(catalog), key=lambda image: image.taken_at is None)
    assert (first.caption, first.taken_at) == ("Print 17", datetime(1987, 6, 5, 12, tzinfo=UTC))
    assert (first.width, first.height) == (HEIGHT, WIDTH)
    assert (second.caption, second.name, first.name) == ("by hand", "IMG_4711.jpg", "é0.jpg")


def test_a_film_is_inserted_as_a_photo_is(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    film = with_keys(of_format(Format.MOV), creationdate="2021-05-01T10:00:01+0200", description="By the sea")
    store.replace("in box/é0.jpg", film, content_type="application/octet-stream")

    assert fates(run([line(0)])) == [(Fate.UPLOADED, Reason.NONE)]

    [image] = rows(catalog)
    assert (image.content_type, image.width, image.height) == ("video/quicktime", FILM_WIDTH, FILM_HEIGHT)
    assert (image.caption, image.taken_at) == ("By the sea", datetime(2021, 5, 1, 8, 0, 1, tzinfo=UTC))
    assert (image.original_key or "").endswith("-original.mov")
    assert store.get(image.original_key or "") == store.get("in box/é0.jpg") == film


def test_blobs_become_originals_with_rows_and_stay_where_they_were(
    run: Insert, store: BlobStore, catalog: Catalog
) -> None:
    lines = [line(number, caption=f"№ {number}", uploaded_at=DAY.isoformat()) for number in range(10)]

    outcomes = run(lines)

    assert fates(outcomes) == [(Fate.UPLOADED, Reason.NONE)] * 10
    images = rows(catalog)
    assert {image.status for image in images} == {Status.PROCESSING}
    assert {(image.uploaded_at, time_of(image.id), image.user_id) for image in images} == {(DAY, DAY, USER)}
    assert {image.caption for image in images} == {f"№ {number}" for number in range(10)}
    for image in images:
        body = store.get(image.original_key or "")
        assert (sha256(body).digest(), len(body)) == (image.sha256, image.bytes)
        assert (image.width, image.height, image.content_type) == (96, 64, "image/jpeg")
        assert parse_key(image.original_key or "").id == image.id
    assert {image.id for image in images} == {outcome.id for outcome in outcomes}
    assert [store.get(f"in box/é{number}.jpg") for number in range(10)] == [photo(number) for number in range(10)]
    assert len(list(store.scan())) == 20


def test_the_same_manifest_again_changes_nothing(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    lines = [line(number) for number in range(10)]
    run(lines)
    images, blobs = rows(catalog), list(store.scan())

    outcomes = run(lines)

    assert fates(outcomes) == [(Fate.PRESENT, Reason.ALREADY_THERE)] * 10
    assert rows(catalog) == images
    assert list(store.scan()) == blobs


def test_without_a_date_the_image_gets_that_of_the_blob(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    run([line(1)])

    (image,) = rows(catalog)
    source = store.head("in box/é1.jpg")
    assert source is not None
    assert abs((image.uploaded_at - source.modified_at).total_seconds()) < 0.001


def test_one_content_under_many_keys_is_one_image_a_user(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    store.replace("in box/copy.jpg", photo(1), content_type="image/jpeg")
    lines = [line(1), line(1), {"key": "in box/copy.jpg", "user_id": str(USER)}, line(1, user_id=str(OTHER))]

    outcomes = run(lines)
    again = run(lines)

    # Duplicates read after the first was confirmed are ALREADY_THERE.
    assert Counter(outcome.fate for outcome in outcomes) == {Fate.UPLOADED: 2, Fate.PRESENT: 2}
    assert {outcome.reason for outcome in outcomes} <= {Reason.NONE, Reason.SAME_CONTENT, Reason.ALREADY_THERE}
    assert fates(again) == [(Fate.PRESENT, Reason.ALREADY_THERE)] * 4
    assert sorted(image.user_id for image in rows(catalog)) == [USER, OTHER]


def test_every_line_without_a_photo_is_reported_and_the_others_are_inserted(
    run: Insert, store: BlobStore, catalog: Catalog
) -> None:
    store.replace("in box/notes.txt", b"no picture", content_type="text/plain")
    store.replace("in box/empty.jpg", b"", content_type="image/jpeg")
    run([line(9)])
    own = rows(catalog)[0].original_key or ""
    lines = [
        line(1),
        {"key": "in box/none.jpg", "user_id": str(USER)},
        {"key": "in box/notes.txt", "user_id": str(USER)},
        {"key": "in box/empty.jpg", "user_id": str(USER)},
        {"key": own, "user_id": str(USER)},
        {"key": "/absolute.jpg", "user_id": str(USER)},
        line(2, user_id="42"),
        line(2, uploaded_at="yesterday"),
        line(2, user_id=""),
    ]

    outcomes = run(lines)

    assert {Path(outcome.path).name: (outcome.fate, outcome.reason) for outcome in outcomes} == {
        "é1.jpg": (Fate.UPLOADED, Reason.NONE),
        "none.jpg": (Fate.FAILED, Reason.MISSING),
        "notes.txt": (Fate.SKIPPED, Reason.NOT_AN_IMAGE),
        "empty.jpg": (Fate.FAILED, Reason.EMPTY),
        Path(own).name: (Fate.SKIPPED, Reason.OWN_BLOB),
        "absolute.jpg": (Fate.FAILED, Reason.MISSING),
        **{f"manifest.csv:{number}": (Fate.FAILED, Reason.BAD_LINE) for number in range(8, 11)},
    }
    assert all(outcome.detail for outcome in outcomes if outcome.fate is not Fate.UPLOADED)
    assert len(rows(catalog)) == 2


@pytest.mark.parametrize(
    ("given", "year", "unlikely"),
    [("1955-05-01", 1970, False), ("1066-10-14", None, True), ("2099-01-01", None, True), ("9999-12-31", None, True)],
)
def test_an_impossible_date_is_replaced_by_that_of_the_blob(
    run: Insert, catalog: Catalog, given: str, year: int | None, *, unlikely: bool
) -> None:
    first = run([line(1, uploaded_at=given)])
    again = run([line(1, uploaded_at=given)])

    [image] = rows(catalog)
    assert image.uploaded_at.year == (year or image.promised_at.year)
    assert [one.date_unlikely for one in (*first, *again)] == [unlikely] * 2
    assert [one.fate for one in again] == [Fate.PRESENT]


def test_a_dry_run_reports_the_plan_and_changes_nothing(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    run([line(0)])
    store.replace("in box/notes.txt", b"no picture", content_type="text/plain")
    images, blobs = rows(catalog), list(store.scan())
    lines = [line(0), line(1), {"key": "in box/notes.txt", "user_id": str(USER)}]

    outcomes = run(lines, dry_run=True)

    assert sorted(outcome.fate for outcome in outcomes) == [Fate.PLANNED, Fate.PRESENT, Fate.SKIPPED]
    assert sum(outcome.bytes or 0 for outcome in outcomes if outcome.fate is Fate.PLANNED) == len(photo(1))
    assert (rows(catalog), list(store.scan())) == (images, blobs)


def test_a_promise_without_a_copy_is_completed(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    run([line(1), line(2)])
    images = rows(catalog)
    unconfirm(catalog)
    store.delete(image.original_key or "" for image in images)

    outcomes = run([line(1), line(2), line(1)])

    assert sorted(outcome.fate for outcome in outcomes) == [Fate.PRESENT, Fate.UPLOADED, Fate.UPLOADED]
    assert rows(catalog) == images
    assert all(store.get(image.original_key or "") for image in images)


def test_bytes_whose_confirmation_was_lost_are_confirmed(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    run([line(1)])
    images, blobs = rows(catalog), list(store.scan())
    unconfirm(catalog)

    outcomes = run([line(1)])

    assert fates(outcomes) == [(Fate.UPLOADED, Reason.NONE)]
    assert (rows(catalog), list(store.scan())) == (images, blobs)


def test_a_key_with_other_content_is_left_alone(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    run([line(1)])
    key = rows(catalog)[0].original_key or ""
    unconfirm(catalog)
    store.replace(key, b"other", content_type="image/jpeg")

    outcomes = run([line(1)])

    assert fates(outcomes) == [(Fate.FAILED, Reason.STORE)]
    assert "5 bytes instead of" in outcomes[0].detail
    assert store.get(key) == b"other"
    assert rows(catalog)[0].status is Status.UPLOADING


def test_a_known_blob_costs_one_head(seaweed: S3Server, catalog: Catalog, tmp_path: Path) -> None:
    bucket = seaweed.new_bucket()
    near = open_store(seaweed.settings(bucket))
    for number in range(10):
        near.replace(f"in box/é{number}.jpg", photo(number), content_type="image/jpeg")
    manifest = Manifest(file=written(tmp_path, map(line, range(10))), store_url="", own_prefixes=("",))
    counted: list[Counter[str]] = []

    for _ in range(2):
        methods: Counter[str] = Counter()

        def count(method: str, _path: str, _number: int, methods: Counter[str] = methods) -> Fault | None:
            methods[method] += 1
            return None

        with fault_proxy(seaweed.endpoint_url, policy=count) as proxy:
            far = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=proxy.url))
            list(insert(manifest.entries(), parts_of(catalog, far), recogniser=RECOGNISER, stop=Event()))
        counted.append(methods)

    # The listing is a GET; with a server other than AWS, an additional HEAD checks that the new key is free. Two puts
    # and a deletion (POST) check once whether the server supports put-if-absent.
    assert counted[0] == Counter(HEAD=30, GET=11, PUT=12, POST=1)
    assert counted[1] == Counter(HEAD=10, GET=1)


def test_a_large_blob_is_hashed_in_pieces(run: Insert, store: BlobStore, catalog: Catalog) -> None:
    body = photo(1) + bytes(20 * 2**20)
    store.replace("in box/large.jpg", body, content_type="image/jpeg")

    outcomes = run([{"key": "in box/large.jpg", "user_id": str(USER)}])

    assert fates(outcomes) == [(Fate.UPLOADED, Reason.NONE)]
    assert rows(catalog)[0].sha256 == sha256(body).digest()


def test_an_archived_source_fails_with_the_next_step(moto_s3: S3Server, catalog: Catalog, tmp_path: Path) -> None:
    bucket = moto_s3.new_bucket()
    moto_s3.client().put_object(Bucket=bucket, Key="cold.jpg", Body=photo(1), StorageClass="DEEP_ARCHIVE")
    store = open_store(moto_s3.settings(bucket))
    manifest = written(tmp_path, [{"key": f"s3://{bucket}/cold.jpg", "user_id": str(USER)}])
    entries = Manifest(file=manifest, store_url=f"s3://{bucket}", own_prefixes=("",)).entries()

    (outcome,) = insert(entries, parts_of(catalog, store), recogniser=RECOGNISER, stop=Event())

    assert (outcome.fate, outcome.reason, outcome.path) == (Fate.FAILED, Reason.ARCHIVED, "cold.jpg")
    assert "restore" in outcome.detail
    assert rows(catalog) == []


def test_a_missing_bucket_ends_the_run_before_any_line(moto_s3: S3Server, catalog: Catalog, tmp_path: Path) -> None:
    store = open_store(StoreSettings(url="s3://not-made-yet", endpoint_url=moto_s3.endpoint_url))
    entries = Manifest(file=written(tmp_path, [line(1)]), store_url="s3://x", own_prefixes=("",)).entries()

    with pytest.raises(BucketMissing):
        list(insert(entries, parts_of(catalog, store), recogniser=RECOGNISER, stop=Event()))


def test_after_a_stop_no_further_chunk_begins(store: BlobStore, catalog: Catalog, tmp_path: Path) -> None:
    stop, taken = Event(), []
    manifest = Manifest(file=written(tmp_path, [line(n % 10) for n in range(1000)]), store_url="", own_prefixes=("",))

    for outcome in insert(manifest.entries(), parts_of(catalog, store), recogniser=RECOGNISER, stop=stop):
        taken.append(outcome)
        stop.set()

    assert len(taken) < 1000
    assert all(image.status is Status.PROCESSING for image in rows(catalog))


def test_an_unreachable_store_ends_the_run_and_the_next_finishes(
    seaweed: S3Server, catalog: Catalog, tmp_path: Path
) -> None:
    bucket = seaweed.new_bucket()
    near = open_store(seaweed.settings(bucket))
    for number in range(40):
        near.replace(f"in box/é{number}.jpg", photo(number), content_type="image/jpeg")
    file = written(tmp_path, [line(number) for number in range(40)])

    manifest = Manifest(file=file, store_url="", own_prefixes=("",))

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        return Fault.RESET if number > 60 else None

    with fault_proxy(seaweed.endpoint_url, policy=policy) as proxy:
        far = open_store(StoreSettings(url=f"s3://{bucket}", endpoint_url=proxy.url, retries=0))
        with pytest.raises(StoreError):
            list(insert(manifest.entries(), parts_of(catalog, far), recogniser=RECOGNISER, stop=Event()))
    again = list(insert(manifest.entries(), parts_of(catalog, near), recogniser=RECOGNISER, stop=Event()))

    assert all(outcome.fate in (Fate.UPLOADED, Fate.PRESENT) for outcome in again)
    assert [image.status for image in rows(catalog)] == [Status.PROCESSING] * 40
    # The deletion of a probe may have been reset.
    assert sum(not blob.key.startswith(PROBES) for blob in near.scan()) == 80


@given(st.datetimes(min_value=EPOCH.replace(tzinfo=None)), st.uuids(), st.text(st.characters(codec="utf-8")))
def test_ids_are_uuidv7_of_their_time_and_differ_by_source(at: datetime, user_id: UUID, key: str) -> None:
    moment = at.replace(tzinfo=UTC)

    one = derived_id(moment, user_id=user_id, key=key, etag="1")

    assert one == derived_id(moment, user_id=user_id, key=key, etag="1")
    assert one != derived_id(moment, user_id=user_id, key=key, etag="2")
    assert (one.version, one.variant) == (7, "specified in RFC 4122")
    assert time_of(one) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_blob_whose_key_no_store_reads_costs_no_other(catalog: Catalog, tmp_path: Path, *, dry_run: bool) -> None:
    place = tmp_path / "blobs"
    place.mkdir()
    for number, name in enumerate(("a.jpg", "b\nc.jpg", "d.jpg")):
        (place / name).write_bytes(photo(number))
    url = f"file://{place}"
    lines = [{"key": name, "user_id": str(USER)} for name in ("a.jpg", "b\nc.jpg", "d.jpg")]
    entries = Manifest(file=written(tmp_path, lines), store_url=url, own_prefixes=("",)).entries()
    parts = parts_of(catalog, open_store(StoreSettings(url=url)))

    found = {one.path: one for one in insert(entries, parts, recogniser=RECOGNISER, stop=Event(), dry_run=dry_run)}

    good = Fate.PLANNED if dry_run else Fate.UPLOADED
    assert {path: one.fate for path, one in found.items()} == {
        "a.jpg": good,
        "b\nc.jpg": Fate.FAILED,
        "d.jpg": good,
    }
    assert "rename the blob" in found["b\nc.jpg"].detail
