"""`imgctl backfill` as a process: killed, twice at once, with archived originals, stopped half-way."""

import random
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from imgctl.model import Image
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.lease import Hold
from imgctl.store.catalog.queries.backfill import take
from imgctl.store.catalog.schema import images
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.soak import rounds
from tests.whole.backfilling import PHOTOS, ready
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, kill_at_a_request, kill_when

KILLS = rounds(4, 50)
# Separate tests, which run in parallel.
PARTS = 2
# A GET and three PUTs for each image, and one request that deletes the superseded variants.
REQUESTS = 4 * PHOTOS + 1
# The outage begins with the first batch, and lasts one check longer than it.
OUTAGE = range(2, 2 * PHOTOS + 2)
FORMATS = ("jpeg", "webp")
# These columns depend on the number of tries; the state is the same.
TRIES = ("attempts", "forgiven")

Whole = tuple[list[tuple[object, ...]], dict[str, bytes]]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_killed_backfill_on_servers_is_finished_by_the_next(servers: Deployment, part: int) -> None:
    rng = random.Random(f"servers {part}")
    kinds, unbroken = _unbroken(servers)
    for number in range(KILLS // PARTS):
        kind = kinds[FORMATS[number % 2]]
        kill_at_a_request(kind, ["backfill", "--stale"], REQUESTS, rng)

        again = kind.run("backfill", "--stale")

        assert again.code == 0, again.err
        assert _whole(kind) == unbroken[FORMATS[number % 2]]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_killed_backfill_of_a_directory_is_finished_by_the_next(embedded: Deployment, part: int) -> None:
    rng = random.Random(f"embedded {part}")
    kinds, unbroken = _unbroken(embedded)
    began = time.monotonic()
    kinds[FORMATS[1]].run("backfill", "--stale")
    usual_seconds = time.monotonic() - began
    for number in range(KILLS // PARTS):
        kind = kinds[FORMATS[number % 2]]
        run = kind.start("backfill", "--stale")
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))

        again = kind.run("backfill", "--stale")

        assert again.code == 0, again.err
        assert _whole(kind) == unbroken[FORMATS[number % 2]]


def test_two_at_once_build_each_variant_exactly_once(servers: Deployment) -> None:
    ready(servers)
    puts: Counter[str] = Counter()

    def count(method: str, path: str, _number: int) -> Fault | None:
        if is_image_put(method, path):
            puts[path] += 1
        return None

    stale = servers.with_settings(VARIANTS_THUMB_QUALITY="70")
    with fault_proxy(servers.store.endpoint_url, policy=count) as proxy:
        results = [
            run.wait() for run in [stale.through(proxy.url).start("backfill", "--stale", "--json") for _ in "12"]
        ]

    assert [result.code for result in results] == [0, 0]
    assert len(puts) == 3 * PHOTOS
    assert set(puts.values()) == {1}
    assert sum(int(str(result.summary["built"])) for result in results) == PHOTOS
    assert len({image.recipe for image in stale.images()}) == 1


def test_what_another_run_holds_is_waited_for_and_taken_over_when_it_died(deployment: Deployment) -> None:
    ready(deployment)
    [first, *_] = deployment.images()
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(images.update().values(thumb_key=None))
        take(connection, [Hold(id=first.id, attempts=first.attempts)], lease_seconds=1.0)
    catalog.close()

    result = deployment.run("backfill", "--json")

    assert result.code == 0, result.err
    assert result.summary["built"] == PHOTOS
    assert all(image.thumb_key and image.leased_until is None for image in deployment.images())


def test_an_image_that_fails_keeps_its_variants_and_is_named(deployment: Deployment) -> None:
    ready(deployment)
    before = _whole(deployment)
    [broken, *_] = deployment.images()
    deployment.open_store().replace(broken.original_key or "", b"no picture", content_type="image/jpeg")

    result = deployment.run("backfill", "--force", "--json")

    assert result.code == 3
    assert result.summary["built"] == PHOTOS - 1
    assert result.summary["reasons"] == {"NotAnImage": 1}
    assert str(broken.id) in result.err
    assert _whole(deployment)[0] == before[0]


def test_a_dry_run_reports_what_would_be_built_and_builds_nothing(deployment: Deployment) -> None:
    ready(deployment)
    before = _whole(deployment), [image.attempts for image in deployment.images()]

    result = deployment.run("backfill", "--force", "--variant", "thumb", "--limit", "4", "--dry-run", "--json")

    assert result.code == 0, result.err
    assert result.summary["planned"] == 4
    assert result.summary["variants"] == {"thumb": 4}
    assert (_whole(deployment), [image.attempts for image in deployment.images()]) == before


def test_an_outage_of_the_store_fails_no_image(servers: Deployment) -> None:
    ready(servers)
    without_retries = servers.with_settings(STORE_RETRIES="0", VARIANTS_THUMB_QUALITY="70")

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE if number in OUTAGE else None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        result = without_retries.through(proxy.url).run("backfill", "--stale", "--json")

    assert result.code == 0, result.err
    assert result.summary["built"] == PHOTOS
    assert result.summary["returned"]
    assert {image.leased_until for image in servers.images()} == {None}
    assert servers.with_settings(VARIANTS_THUMB_QUALITY="70").run("backfill", "--stale").code == 0


def test_what_the_store_lacks_or_has_empty_is_found_by_looking_there(deployment: Deployment) -> None:
    ready(deployment)
    first, second, *_ = deployment.images()
    store = deployment.open_store()
    store.delete([first.thumb_key or ""])
    store.replace(second.full_key or "", b"", content_type="image/jpeg")
    intact = {blob.key: blob.etag for blob in store.scan()}
    del intact[second.full_key or ""]

    blind = deployment.run("backfill", "--json")
    result = deployment.run("backfill", "--verify", "--json")

    assert (blind.summary["built"], result.summary["built"]) == (0, 2)
    assert {record["id"]: record["variants"] for record in result.of("image")} == {
        str(first.id): ["thumb"],
        str(second.id): ["full"],
    }
    after = {blob.key: blob for blob in store.scan()}
    assert {key: after[key].etag for key in intact} == intact
    assert min(blob.size for blob in after.values()) > 0


def test_a_stopped_rebuild_goes_on_where_it_was(embedded: Deployment) -> None:
    ready(embedded)
    force = partial(embedded.run, "backfill", "--force", "--json")

    first, second, third = force("--limit", "2"), force(), force()

    assert [result.code for result in (first, second, third)] == [0, 0, 0]
    assert [result.summary["built"] for result in (first, second, third)] == [2, PHOTOS - 2, PHOTOS]


def test_a_stopped_rebuild_of_an_age_goes_on_where_it_was(embedded: Deployment) -> None:
    ready(embedded)
    force = partial(embedded.run, "backfill", "--force", "--json", "--until", "0s", "--since")

    first, second, third = force("30d", "--limit", "2"), force("720h"), force("30d")

    assert (first.code, second.code, third.code) == (0, 0, 0), second.err
    assert [one.summary["built"] for one in (first, second, third)] == [2, PHOTOS - 2, PHOTOS]


def test_shards_share_the_images_among_them(deployment: Deployment) -> None:
    ready(deployment)

    results = [deployment.run("backfill", "--force", "--shard", f"{one}/3", "--json") for one in (1, 2, 3)]

    built = [str(record["id"]) for result in results for record in result.of("image")]
    assert sorted(built) == [str(image.id) for image in deployment.images()]


def test_only_the_named_images_are_built(deployment: Deployment) -> None:
    ready(deployment)
    named = [str(image.id) for image in deployment.images()][1:3]
    listed = deployment.directory / "ids.txt"
    listed.write_text("\n".join([*named, "0190b2b4-0000-7000-8000-00000000dead"]))

    result = deployment.run("backfill", "--force", "--ids-from", listed, "--json")

    assert result.code == 3
    assert [record["id"] for record in result.of("image")] == named
    assert f"{listed}:3" in result.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--stale", "--force"], "--stale and --force exclude each other"),
        (["--force", "--max-usd", "5"], "--max-usd limits restores"),
        (["--shard", "3/2"], "invalid shard"),
        (["--restore", "sometime"], "bulk"),
    ],
)
def test_what_makes_no_sense_is_refused(embedded: Deployment, arguments: list[str], word: str) -> None:
    result = embedded.run("backfill", *arguments)

    assert result.code == 2
    assert word in result.err


def _unbroken(deployment: Deployment) -> tuple[dict[str, Deployment], dict[str, Whole]]:
    """The deployment with each format of thumbs and fulls, and the state after an uninterrupted run."""
    ready(deployment)
    base = deployment
    kinds = {one: base.with_settings(VARIANTS_THUMB_FORMAT=one, VARIANTS_FULL_FORMAT=one) for one in FORMATS}
    unbroken = {}
    for name in reversed(FORMATS):
        done = kinds[name].run("backfill", "--stale")
        assert done.code == 0, done.err
        unbroken[name] = _whole(kinds[name])
    kinds[FORMATS[1]].run("backfill", "--stale")
    return kinds, unbroken


def _whole(deployment: Deployment) -> Whole:
    """Return every row without its tries, and every blob."""
    store = deployment.open_store()
    names = [name for name in Image.__dataclass_fields__ if name not in TRIES]
    rows: list[tuple[object, ...]] = [tuple(getattr(image, name) for name in names) for image in deployment.images()]
    return rows, {blob.key: store.get(blob.key) for blob in store.scan()}


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_the_price_of_the_requests_is_shown_before_and_after_a_run(deployment: Deployment, options: tuple[str]) -> None:
    ready(deployment)
    bills = deployment.store.url.startswith("s3://")

    result = deployment.run("backfill", "--force", "--variant", "thumb", *options)

    assert result.code == 0, result.err
    # A GET at 0.0004 and a PUT at 0.005 per 1,000.
    unknown = "price unknown for this endpoint; AWS us-east-1 would charge"
    assert (f"requests for 1,000 images: {unknown} $0.0054" in result.err) is bills
    assert (f"requests: {unknown} $0.0000324" in result.out) is bills


@pytest.mark.parametrize("card", ["", "r2", "aws-us-east-1"])
def test_work_shows_the_price_of_its_requests_and_whose_it_is(
    deployment: Deployment, album: dict[Path, bytes], card: str
) -> None:
    deployment.run("upload", "--user", str(USER), place_of(album))
    bills = deployment.store.url.startswith("s3://")
    priced = deployment.with_settings(COST_CARD=card) if card else deployment

    result = priced.run("work", "--drain")

    assert result.code == 0, result.err
    unknown = "price unknown for this endpoint; AWS us-east-1 would charge "
    # A GET at 0.0004 and three PUTs at 0.005 per 1,000; at R2 0.00036 and 0.0045.
    before, after = (
        ("$0.0139 by r2", "$0.000277 by r2") if card == "r2" else (f"{unknown}$0.0154", f"{unknown}$0.000308")
    )
    assert (f"requests for 1,000 images: {before}\n" in result.err) is bills
    assert (f"requests: {after}\n" in result.out) is bills
