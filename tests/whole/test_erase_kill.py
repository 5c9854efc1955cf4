"""`kill -9` during erasures: the same command finishes each, and its receipt has the same counts as without a kill."""

import json
import random
import time
from functools import partial
from pathlib import Path
from uuid import UUID

from imgctl.keys import PROBES
from imgctl.store.blobs.base import Remnant
from tests.parts.proxy import fault_proxy
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.whole.deployment import USER, Deployment, kill_at_a_request, kill_when
from tests.whole.stock import stock

KILLS = rounds(3, 50)
ROUND, SIZE = 3, 64
SETTINGS = {"SERVE_SECRET": "what signs receipts"}


def erase(user: UUID) -> list[str]:
    return ["erase", "--user", str(user), "--confirm-user", str(user), "--yes", "--json"]


def user_of(number: int) -> UUID:
    """Return each round's own user, so that it begins with nothing erased."""
    return UUID(int=number + 1)


def filled(deployment: Deployment, number: int) -> list[str]:
    """Upload photos of a round's user; return the command that erases them."""
    stock(deployment, ROUND, first=(number + 1) * ROUND, size=SIZE, user_id=user_of(number))
    return erase(user_of(number))


def everything(deployment: Deployment) -> set[Remnant]:
    """Return every blob, version and delete marker, except those of the put-if-absent test."""
    return {one for one in deployment.open_store().remnants([""]) if not one.key.startswith(PROBES)}


def assert_ended(deployment: Deployment, number: int, *, blobs: int, size: int) -> None:
    """Assert that the same command finishes the erasure, and that its receipt counts everything that existed."""
    again = deployment.run(*erase(user_of(number)))

    assert again.code == 0, again.err
    *_, summary, _ = Path(str(again.of("receipt")[0]["file"])).read_text().splitlines()
    assert json.loads(summary) == {
        "type": "summary", "images": ROUND, "blobs": blobs, "bytes": size, "unfinished": 0, "complete": True,
    }  # fmt: skip


def test_a_killed_erasure_of_a_directory_is_ended_by_the_same_command(embedded: Deployment) -> None:
    deployment, rng = embedded.with_settings(**SETTINGS), random.Random("erase")
    stock(deployment, ROUND, size=SIZE)
    theirs = everything(deployment)
    began = time.monotonic()
    assert deployment.run(*filled(deployment, KILLS)).code == 0
    usual_seconds = time.monotonic() - began
    for number in range(KILLS):
        run = deployment.start(*filled(deployment, number))
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))

        assert_ended(deployment, number, blobs=4 * ROUND, size=ROUND * (SIZE + 3 * len(b"variant")))

    assert everything(deployment) == theirs
    assert {image.user_id for image in deployment.images()} == {USER}


def test_a_killed_erasure_of_a_bucket_with_versions_is_ended_by_the_same_command(
    tmp_path: Path, postgres_url: str, seaweed: S3Server
) -> None:
    bucket, rng = seaweed.new_bucket(), random.Random("erase")
    seaweed.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    (place := tmp_path / "run").mkdir()
    deployment = Deployment(directory=place, catalog_url=postgres_url, store=seaweed.settings(bucket))
    deployment = deployment.with_settings(**SETTINGS)
    stock(deployment, ROUND, size=SIZE)
    theirs = everything(deployment)
    with fault_proxy(deployment.store.endpoint_url) as proxy:
        assert deployment.through(proxy.url).run(*_twice(deployment, KILLS)).code == 0
    for number in range(KILLS):
        kill_at_a_request(deployment, _twice(deployment, number), proxy.requests.total(), rng)

        assert_ended(deployment, number, blobs=5 * ROUND, size=ROUND * (SIZE + 4 * len(b"variant")))

    assert everything(deployment) == theirs
    assert {image.user_id for image in deployment.images()} == {USER}


def _twice(deployment: Deployment, number: int) -> list[str]:
    """The same, with an older version and a delete marker of each thumbnail."""
    command, store = filled(deployment, number), deployment.open_store()
    for image in deployment.images():
        if image.user_id == user_of(number):
            store.delete([image.thumb_key or ""])
            store.replace(image.thumb_key or "", b"variant", content_type="image/jpeg")
    return command


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant
