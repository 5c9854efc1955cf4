"""Moves of eligible originals: interrupted reservations, originals that change meanwhile, batch jobs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from imgctl.config.catalog_store import CatalogSettings
from imgctl.config.service import LogSettings
from imgctl.config.settings import Settings
from imgctl.errors import BlobExists, ConfigError, StoreDenied, StoreUnavailable, UsageError
from imgctl.model import Image, Status, StorageClass
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.transition.eligibility import Verdict
from imgctl.ops.transition.job import by_batch
from imgctl.ops.transition.move import transition
from imgctl.ops.transition.options import Fate, Outcome, Policy, Reason, TransitionOrder
from imgctl.ops.transition.survey import Judges, judges
from imgctl.pricing.card_files import load_card
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.queries.holds import hold
from imgctl.store.catalog.schema import images
from tests.parts.seaweed import S3Server
from tests.whole.conftest import embedded
from tests.whole.deployment import Deployment
from tests.whole.stock import stock

__all__ = ["embedded"]

LAPSED = datetime(2024, 1, 1, tzinfo=UTC)
ORDER = TransitionOrder(
    policy=Policy(to=StorageClass.GLACIER, card=load_card(), at=datetime.now(UTC), min_size=0),
    lease_seconds=1.0,
    concurrency=2,
)


class Site:
    """A deployment opened in the process of the test."""

    def __init__(self, deployment: Deployment, parts: Parts) -> None:
        self.deployment = deployment
        self.parts = parts
        self.cold: BlobStore = open_store(deployment.store)

    def change(self, image: Image, **values: object) -> None:
        with self.parts.catalog.write() as connection:
            connection.execute(update(images).where(images.c.id == image.id).values(**values))

    def classes(self) -> list[tuple[str | None, str]]:
        blobs = [self.cold.details(row.original_key or "") for row in self.rows()]
        found = [blob.storage_class if blob else "" for blob in blobs]
        return list(zip([row.storage_class for row in self.rows()], found, strict=True))

    def rows(self) -> list[Image]:
        return self.deployment.images()

    def erase(self, image: Image) -> None:
        with self.parts.catalog.write() as connection:
            connection.execute(delete(images).where(images.c.id == image.id))

    def run(
        self, judging: Judges | None = None, order: TransitionOrder = ORDER, *, stop: Event | None = None
    ) -> list[Outcome]:
        stop = stop or Event()
        with judges(order, parts=self.parts, stop=stop) as looking:
            return list(transition(judging or looking, order, parts=self.parts, stop=stop))


@pytest.fixture
def site(embedded: Deployment) -> Iterator[Site]:
    """SQLite and a directory."""
    with _opened(embedded) as parts:
        yield Site(embedded, parts)


def _opened(deployment: Deployment) -> AbstractContextManager[Parts]:
    catalog = CatalogSettings(url=deployment.catalog_url)
    return open_parts(Settings(catalog=catalog, store=deployment.store, log=LogSettings()), create=True)


def move(site: Site, image: Image) -> None:
    blob = site.cold.details(image.original_key or "")
    assert blob is not None
    site.cold.move(blob.key, to=StorageClass.GLACIER, etag=blob.etag)


def test_an_interrupted_move_is_recorded_finished_or_reverted(site: Site) -> None:
    done, begun, stuck = stock(site.deployment, 3, size=64)
    move(site, done)
    for image in (done, begun, stuck):
        site.change(image, storage_class="GLACIER", leased_until=LAPSED)
    site.parts.store.delete([stuck.thumb_key or ""])

    fates = {outcome.image.id: outcome.fate for outcome in site.run()}

    assert fates == {done.id: Fate.RECORDED, begun.id: Fate.MOVED, stuck.id: Fate.RECORDED}
    assert site.classes() == [("GLACIER", "GLACIER"), ("GLACIER", "GLACIER"), (None, "STANDARD")]
    assert {row.leased_until for row in site.rows()} == {None}


def test_a_run_waits_for_a_row_under_a_short_lease(site: Site) -> None:
    held = stock(site.deployment, 1, size=64)[0]
    site.change(held, storage_class="GLACIER", leased_until=datetime.now(UTC) + timedelta(seconds=0.5))

    assert [outcome.fate for outcome in site.run()] == [Fate.MOVED]
    assert site.classes() == [("GLACIER", "GLACIER")]


class Once(Event):
    """A stop event that calls `step` at the first wait, and ends the run at the next one."""

    def __init__(self, step: Callable[[], object]) -> None:
        super().__init__()
        self._steps = iter((step,))

    def wait(self, timeout: float | None = None) -> bool:
        next(self._steps, self.set)()
        return self.is_set()


def test_a_run_does_not_wait_for_a_row_that_is_erased_meanwhile(site: Site) -> None:
    held = stock(site.deployment, 1, size=64)[0]
    site.change(held, storage_class="GLACIER", leased_until=datetime.now(UTC) + timedelta(seconds=2))
    stop = Once(partial(site.erase, held))

    outcomes = site.run(stop=stop)

    assert (outcomes, stop.is_set()) == ([], False)


def test_a_row_under_a_lease_of_a_day_is_left_out(site: Site) -> None:
    held = stock(site.deployment, 1, size=64)[0]
    site.change(held, storage_class="GLACIER", leased_until=datetime.now(UTC) + timedelta(days=1))

    assert [(outcome.fate, outcome.reason) for outcome in site.run()] == [(Fate.LEFT_OUT, Reason.LEASED)]
    assert site.classes() == [("GLACIER", "STANDARD")]


class Meddling(Judges):
    """Judges whose verdicts are outdated when they are returned."""

    def __init__(self, looking: Judges, meddle: "list[tuple[Image, bool]]", site: Site) -> None:
        self._looking = looking
        self._meddle = meddle
        self._site = site

    def blocks(self) -> Iterator[list[Verdict]]:
        for block in self._looking.blocks():
            for image, in_store in self._meddle:
                if in_store:
                    self._site.parts.store.replace(image.original_key or "", b"other", content_type="image/jpeg")
                else:
                    self._site.change(image, status=Status.PROCESSING)
            yield block

    def judge(self, images: Sequence[Image]) -> list[Verdict]:
        return self._looking.judge(images)


def test_originals_changed_between_check_and_move_are_kept_and_reported(site: Site) -> None:
    overwritten, taken, moved = stock(site.deployment, 3, size=64)
    with judges(ORDER, parts=site.parts, stop=Event()) as looking:
        meddling = Meddling(looking, [(overwritten, True), (taken, False)], site)
        outcomes = {outcome.image.id: outcome for outcome in site.run(meddling)}

    assert outcomes[overwritten.id].fate is Fate.FAILED
    assert "changed" in outcomes[overwritten.id].detail
    assert (outcomes[taken.id].fate, outcomes[taken.id].reason) == (Fate.LEFT_OUT, Reason.CHANGED)
    assert outcomes[moved.id].fate is Fate.MOVED
    assert site.classes() == [(None, "STANDARD"), (None, "STANDARD"), ("GLACIER", "GLACIER")]
    assert {row.leased_until for row in site.rows()} == {None}


def test_a_stopped_run_moves_no_original_and_leaves_no_reservation(site: Site) -> None:
    stock(site.deployment, 3, size=64)
    stop = Event()

    class Stopping(Meddling):
        def blocks(self) -> Iterator[list[Verdict]]:
            for block in super().blocks():
                stop.set()
                yield block

    with judges(ORDER, parts=site.parts, stop=stop) as looking:
        judging = Stopping(looking, [], site)
        outcomes = list(transition(judging, ORDER, parts=site.parts, stop=stop))

    assert {(outcome.fate, outcome.reason) for outcome in outcomes} == {(Fate.LEFT_OUT, Reason.STOPPED)}
    assert site.classes() == [(None, "STANDARD")] * 3
    assert {row.leased_until for row in site.rows()} == {None}


def test_rows_of_a_batch_job_are_reserved_before_its_manifest_is_complete(tmp_path: Path, moto_s3: S3Server) -> None:
    store = moto_s3.settings(moto_s3.new_bucket(), prefix="archive one")
    deployment = Deployment(directory=tmp_path, catalog_url=f"sqlite:///{tmp_path}/catalog.db", store=store)
    rows = stock(deployment, 3, size=64)
    with _opened(deployment) as parts:
        site = Site(deployment, parts)
        site.change(rows[1], status=Status.FAILED)
        with judges(ORDER, parts=parts, stop=Event()) as looking, pytest.raises(ConfigError):
            # No job is created: moto is not AWS.
            by_batch(looking, ORDER, parts=parts, role_arn="arn:aws:iam::123456789012:role/batch", stop=Event())
        manifest = [blob.key for blob in parts.store.scan(prefix="imgctl-batch/")]
        text = parts.store.get(manifest[0]).decode()
        bucket = store.url.removeprefix("s3://").partition("/")[0]

        assert len(manifest) == 1
        assert text.splitlines() == [f"{bucket},archive%20one/{row.original_key}" for row in (rows[0], rows[2])]
        assert [row.storage_class for row in site.rows()] == ["GLACIER", None, "GLACIER"]
        assert all((row.leased_until is not None) == (row.storage_class is not None) for row in site.rows())


def test_rows_beyond_the_limit_of_a_batch_job_are_not_reserved(tmp_path: Path, moto_s3: S3Server) -> None:
    store = moto_s3.settings(moto_s3.new_bucket())
    deployment = Deployment(directory=tmp_path, catalog_url=f"sqlite:///{tmp_path}/catalog.db", store=store)
    stock(deployment, 3, size=64)
    order = replace(ORDER, limit=2)
    with _opened(deployment) as parts:
        with judges(order, parts=parts, stop=Event()) as looking, pytest.raises(ConfigError):
            by_batch(looking, order, parts=parts, role_arn="arn:aws:iam::123456789012:role/batch", stop=Event())

        rows = Site(deployment, parts).rows()

    assert [row.storage_class for row in rows] == ["GLACIER", "GLACIER", None]
    assert [row.leased_until is None for row in rows] == [False, False, True]


def test_an_invalid_role_reserves_no_row_for_a_batch_job(tmp_path: Path, moto_s3: S3Server) -> None:
    store = moto_s3.settings(moto_s3.new_bucket())
    deployment = Deployment(directory=tmp_path, catalog_url=f"sqlite:///{tmp_path}/catalog.db", store=store)
    stock(deployment, 1, size=64)
    with _opened(deployment) as parts:
        with judges(ORDER, parts=parts, stop=Event()) as looking, pytest.raises(UsageError, match="role ARN"):
            by_batch(looking, ORDER, parts=parts, role_arn="role/batch", stop=Event())

        assert Site(deployment, parts).classes() == [(None, "STANDARD")]
        assert list(parts.store.scan(prefix="imgctl-batch/")) == []


class Wrapped:
    """A store of which a test replaces some calls."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture
def versioned(tmp_path: Path, moto_s3: S3Server) -> Iterator[Site]:
    """SQLite and a bucket that keeps versions."""
    store = moto_s3.settings(moto_s3.new_bucket())
    moto_s3.client().put_bucket_versioning(
        Bucket=store.url.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"}
    )
    deployment = Deployment(directory=tmp_path, catalog_url=f"sqlite:///{tmp_path}/catalog.db", store=store)
    with _opened(deployment) as parts:
        yield Site(deployment, parts)


def versions(site: Site, image: Image) -> int:
    return sum(not one.is_marker for one in site.parts.store.remnants([image.original_key or ""]))


def test_a_hold_placed_during_a_run_keeps_old_versions(versioned: Site) -> None:
    first, second = stock(versioned.deployment, 2, size=64)
    catalog = versioned.parts.catalog

    class HeldMeanwhile(Wrapped):
        def move(self, key: str, *, to: str, etag: str) -> Blob:
            if key == second.original_key:
                with catalog.write() as connection:
                    hold(connection, UUID(int=1), second.user_id, reason="case 4711", by="someone")
            return self._store.move(key, to=to, etag=etag)

    versioned.parts = replace(versioned.parts, store=cast("BlobStore", HeldMeanwhile(versioned.parts.store)))
    order = replace(ORDER, delete_noncurrent=True, concurrency=1)

    outcomes = {outcome.image.id: outcome for outcome in versioned.run(order=order)}

    assert {outcome.fate for outcome in outcomes.values()} == {Fate.MOVED}
    assert [versions(versioned, image) for image in (first, second)] == [1, 2]
    assert ["case 4711" in outcomes[image.id].detail for image in (first, second)] == [False, True]


def test_a_move_whose_response_is_lost_leaves_no_old_version(versioned: Site) -> None:
    image = stock(versioned.deployment, 1, size=64)[0]

    class AnswerLost(Wrapped):
        def move(self, key: str, *, to: str, etag: str) -> Blob:
            self._store.move(key, to=to, etag=etag)
            raise BlobExists(key)

    versioned.parts = replace(versioned.parts, store=cast("BlobStore", AnswerLost(versioned.parts.store)))

    outcomes = versioned.run(order=replace(ORDER, delete_noncurrent=True))

    assert [(one.fate, one.detail) for one in outcomes] == [(Fate.MOVED, "")]
    assert versions(versioned, image) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_an_old_version_that_was_not_deleted_is_deleted_by_the_next_run(versioned: Site, wanted: bool) -> None:
    image = stock(versioned.deployment, 1, size=64)[0]
    store = versioned.parts.store

    class Denied(Wrapped):
        def delete_version(self, key: str, version_id: str) -> None:
            raise StoreDenied(f"{key}: denied", hint="check the policy")

    order = replace(ORDER, delete_noncurrent=True)
    versioned.parts = replace(versioned.parts, store=cast("BlobStore", Denied(store)))
    denied = versioned.run(order=order)
    versioned.change(image, leased_until=LAPSED)
    denied += versioned.run(order=order)
    versioned.change(image, leased_until=LAPSED)

    assert [one.fate for one in denied] == [Fate.FAILED] * 2
    assert all("the same command again deletes it" in one.detail for one in denied)
    assert versions(versioned, image) == 2

    versioned.parts = replace(versioned.parts, store=store)

    later = versioned.run(order=order if wanted else ORDER)

    assert [one.fate for one in later] == [Fate.RECORDED]
    assert versions(versioned, image) == (1 if wanted else 2)
    assert [row.leased_until for row in versioned.rows()] == [None]


@pytest.mark.parametrize("colder", [False, True])
def test_an_interrupted_move_is_concluded_also_by_a_move_to_another_class(versioned: Site, colder: bool) -> None:
    image = stock(versioned.deployment, 1, size=64)[0]
    store = versioned.parts.store

    class Killed(Wrapped):
        def delete_version(self, key: str, version_id: str) -> None:
            raise StoreUnavailable(key)

    order = replace(ORDER, policy=replace(ORDER.policy, to=StorageClass.STANDARD_IA), delete_noncurrent=True)
    versioned.parts = replace(versioned.parts, store=cast("BlobStore", Killed(store)))
    versioned.run(order=order)
    versioned.change(image, leased_until=LAPSED)
    versioned.parts = replace(versioned.parts, store=store)

    versioned.run(order=replace(order, policy=ORDER.policy) if colder else order)

    assert versions(versioned, image) == 1
