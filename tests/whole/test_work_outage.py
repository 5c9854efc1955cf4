"""Stores that fail for one image, or for all for a while: only the first costs an image an attempt."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.errors import StoreDenied, StoreUnavailable
from imgctl.model import Status
from imgctl.ops.work.options import Fate
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.claims import claim
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, assert_whole
from tests.whole.working import order_for, work_in_one_child

UPLOAD = ("upload", "--user", str(USER))
# The outage begins in the first batch, and lasts one check longer than the others (32 requests).
OUTAGE = range(4, 34)


def _without_retries(deployment: Deployment, endpoint_url: str) -> Deployment:
    """Return the deployment with this endpoint and without retries."""
    far = deployment.through(endpoint_url)
    return replace(far, store=replace(far.store, retries=0))


def test_an_outage_of_the_store_costs_no_attempt(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run(*UPLOAD, place_of(album))

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE if number in OUTAGE else None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        far = _without_retries(servers, proxy.url)
        outcomes = work_in_one_child(far, order_for(far))

    # With only one attempt, an image that lost it would have failed.
    assert {outcome.fate for outcome in outcomes} == {Fate.READY, Fate.RETURNED}
    assert_whole(servers, album.values(), status=Status.READY)
    assert {image.attempts - image.forgiven for image in servers.images()} == {1}


def test_an_image_whose_original_alone_fails_is_blamed(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run(*UPLOAD, place_of(album))
    cursed = servers.images()[7]

    def policy(_method: str, path: str, _number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE if path.endswith(cursed.original_key or "") else None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        far = _without_retries(servers, proxy.url)
        work_in_one_child(far, order_for(far))

    images = {image.id: image for image in servers.images()}
    failed = images.pop(cursed.id)
    assert failed.status is Status.FAILED
    assert (failed.error or "").startswith("gave up after 1 attempt: ")
    assert {image.status for image in images.values()} == {Status.READY}


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.EXPIRED, StoreDenied), (Fault.SERVICE_UNAVAILABLE, StoreUnavailable)]
)
def test_a_store_that_stays_away_ends_the_run_and_blames_nobody(
    servers: Deployment, album: dict[Path, bytes], fault: Fault, error: type[Exception]
) -> None:
    servers.run(*UPLOAD, place_of(album))

    with fault_proxy(servers.store.endpoint_url, policy=lambda _method, _path, _number: fault) as proxy:
        far = _without_retries(servers, proxy.url)
        with pytest.raises(error):
            work_in_one_child(far, replace(order_for(far), outage_seconds=0))

    images = servers.images()
    assert {(image.status, image.leased_until) for image in images} == {(Status.PROCESSING, None)}
    assert {image.attempts - image.forgiven for image in images} == {0}


def _denies_originals(method: str, path: str) -> bool:
    return method == "GET" and "-original." in path


@pytest.mark.parametrize("denies", [is_image_put, _denies_originals])
@pytest.mark.parametrize("command", ["work", "backfill"])
def test_a_store_that_denies_one_role_alone_ends_the_run_and_fails_nothing(
    servers: Deployment, album: dict[Path, bytes], command: str, denies: Callable[[str, str], bool]
) -> None:
    servers.run(*UPLOAD, place_of(album))
    options = ["--drain"] if command == "work" else ["--force"]
    if command == "backfill":
        servers.run("work", "--drain")
    before = {image.id: (image.status, image.thumb_key) for image in servers.images()}

    def deny(method: str, path: str, _number: int) -> Fault | None:
        return Fault.EXPIRED if denies(method, path) else None

    with fault_proxy(servers.store.endpoint_url, policy=deny) as proxy:
        denied = servers.through(proxy.url).with_settings(WORK_MAX_ATTEMPTS="3").run(command, *options)

    assert denied.code == 1, denied.err
    assert "denies access" in denied.err
    images = servers.images()
    assert {one.id: (one.status, one.thumb_key) for one in images} == before
    assert {one.attempts - one.forgiven for one in images} == {0 if command == "work" else 1}
    assert {one.leased_until for one in images} == {None}


@pytest.mark.parametrize(("denies", "number"), [("PUT", 19), ("GET", 0), ("GET", 19)])
def test_an_image_that_alone_is_denied_is_blamed(
    servers: Deployment, album: dict[Path, bytes], denies: str, number: int
) -> None:
    servers.run(*UPLOAD, place_of(album))
    cursed = servers.images()[number]

    def deny(method: str, path: str, _number: int) -> Fault | None:
        return Fault.EXPIRED if method == denies and str(cursed.id) in path else None

    with fault_proxy(servers.store.endpoint_url, policy=deny) as proxy:
        far = servers.through(proxy.url)
        work_in_one_child(far, order_for(far))

    images = {image.id: image for image in servers.images()}
    assert images.pop(cursed.id).status is Status.FAILED
    assert {image.status for image in images.values()} == {Status.READY}


def test_images_whose_workers_died_each_time_are_failed_and_told(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run(*UPLOAD, place_of(album))
    _claim_and_vanish(servers, max_attempts=2)

    outcomes = work_in_one_child(servers, replace(order_for(servers), max_attempts=2))

    assert [outcome.fate for outcome in outcomes] == [Fate.FAILED] * 20
    assert {image.status for image in servers.images()} == {Status.FAILED}


def _claim_and_vanish(deployment: Deployment, *, max_attempts: int) -> None:
    catalog = open_catalog(deployment.catalog_url)
    for _ in range(max_attempts):
        with catalog.write() as connection:
            claim(connection, limit=100, lease_seconds=-1, max_attempts=max_attempts)
    catalog.close()
