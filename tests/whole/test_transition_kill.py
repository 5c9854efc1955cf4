"""`kill -9` during transitions: the row of every unreadable original has its class, and the next run finishes."""

import random
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from imgctl.model import is_archived
from imgctl.store.blobs.base import Blob
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.whole.cold import cold_of
from tests.whole.deployment import Deployment, kill_at_a_request, kill_when
from tests.whole.stock import stock

KILLS = rounds(4, 50)
ROUND = 6
# A round's survey and run: two listings, the bucket's versioning, and HEAD, copy and HEAD for each original.
REQUESTS = 3 + 3 * ROUND
COMMAND = ["transition", "--to", "GLACIER", "--older-than", "1d", "--min-size", "0", "--yes", "--concurrency", "2"]

DELETING = [*COMMAND, "--delete-noncurrent"]
# Before the move the version is looked up, and after it the current one, before the old one is deleted.
REQUESTS_WITH_VERSIONS = 3 + 6 * ROUND


def listed(deployment: Deployment) -> list[Blob]:
    """Return the originals in the store, in the order of ids."""
    return [blob for blob in cold_of(deployment).scan() if "-original." in blob.key]


def assert_unreadable_only_where_said(deployment: Deployment) -> None:
    """Assert that the row of every archived original has its class."""
    rows = deployment.images()
    archived = {image.original_key for image in rows if is_archived(image.storage_class)}
    blobs = listed(deployment)

    assert len(blobs) == len(rows)
    assert {blob.key for blob in blobs if is_archived(blob.storage_class)} <= archived


def assert_moved(deployment: Deployment) -> None:
    """Assert that every original and its row have the requested class, and that no lease is left."""
    rows, blobs = deployment.images(), listed(deployment)

    assert {(image.status, image.storage_class, image.leased_until) for image in rows} == {("ready", "GLACIER", None)}
    assert [(blob.key, blob.size) for blob in blobs] == [(image.original_key, image.bytes) for image in rows]
    assert {blob.storage_class for blob in blobs} == {"GLACIER"}


@pytest.mark.parametrize("half", [0, 1])
def test_a_killed_transition_in_a_bucket_is_finished_by_the_next(
    tmp_path: Path, postgres_url: str, moto_s3: S3Server, half: int
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    store = moto_s3.settings(moto_s3.new_bucket())
    deployment = Deployment(directory=place, catalog_url=postgres_url, store=store)
    _kill_rounds(deployment, COMMAND, REQUESTS, random.Random(f"transition {half}"), rounds=KILLS // 2 + half)

    again = deployment.run(*COMMAND)

    assert again.code == 0, again.err
    assert_moved(deployment)


@pytest.mark.parametrize("half", [0, 1])
def test_a_killed_transition_leaves_no_old_version_for_ever(
    tmp_path: Path, postgres_url: str, moto_s3: S3Server, half: int
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    store = moto_s3.settings(moto_s3.new_bucket())
    client, bucket = moto_s3.client(), store.url.removeprefix("s3://")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    deployment = Deployment(directory=place, catalog_url=postgres_url, store=store)
    rng = random.Random(f"versions {half}")
    _kill_rounds(deployment, DELETING, REQUESTS_WITH_VERSIONS, rng, rounds=KILLS // 2 + half)

    again = deployment.run(*DELETING)

    versions = Counter(one["Key"] for one in client.list_object_versions(Bucket=bucket)["Versions"])
    assert again.code == 0, again.err
    assert_moved(deployment)
    assert {versions[image.original_key or ""] for image in deployment.images()} == {1}


@pytest.mark.parametrize("half", [0, 1])
def test_a_killed_transition_of_a_directory_is_finished_by_the_next(embedded: Deployment, half: int) -> None:
    rng = random.Random(f"transition {half}")
    stock(embedded, ROUND, size=64)
    began = time.monotonic()
    embedded.run(*COMMAND)
    usual_seconds = time.monotonic() - began
    for number in range(1, 1 + KILLS // 2 + half):
        stock(embedded, ROUND, first=number * ROUND, size=64)
        run = embedded.start(*COMMAND)
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))

        assert_unreadable_only_where_said(embedded)

    again = embedded.run(*COMMAND)

    assert again.code == 0, again.err
    assert_moved(embedded)


def _kill_rounds(deployment: Deployment, command: list[str], requests: int, rng: random.Random, *, rounds: int) -> None:
    """Kill a transition of new images at a random request, again and again."""
    for number in range(rounds):
        stock(deployment, ROUND, first=number * ROUND, size=64)
        kill_at_a_request(deployment, command, requests, rng)

        assert_unreadable_only_where_said(deployment)


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant
