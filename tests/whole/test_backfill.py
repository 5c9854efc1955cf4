"""`imgctl backfill` as its users run it: killed, twice at once, beside archived originals, stopped half-way."""

import random
import time
from collections import Counter
from functools import partial

import pytest

from imgctl.model import Image
from imgctl.store.catalog.claims import Hold
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.life import take
from imgctl.store.catalog.schema import images
from imgctl.store.cold.open import open_cold
from tests.parts.proxy import Fault, fault_proxy
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, kill_at_a_request, kill_when

PHOTOS = 6
KILLS = 25
# A GET and three PUTs each, and one request that deletes what they superseded.
REQUESTS = 4 * PHOTOS + 1
FORMATS = ("jpeg", "webp")
# These differ with the number of tries, and the state is the same.
TRIES = ("attempts", "forgiven")

Whole = tuple[list[tuple[object, ...]], dict[str, bytes]]


def test_a_killed_backfill_on_servers_is_finished_by_the_next(servers: Deployment) -> None:
    rng = random.Random("servers")
    kinds, unbroken = _unbroken(servers)
    for number in range(KILLS):
        kind = kinds[FORMATS[number % 2]]
        kill_at_a_request(kind, ["backfill", "--stale"], REQUESTS, rng)

        again = kind.run("backfill", "--stale")

        assert again.code == 0, again.err
        assert _whole(kind) == unbroken[FORMATS[number % 2]]


def test_a_killed_backfill_of_a_directory_is_finished_by_the_next(embedded: Deployment) -> None:
    rng = random.Random("embedded")
    kinds, unbroken = _unbroken(embedded)
    began = time.monotonic()
    kinds[FORMATS[1]].run("backfill", "--stale")
    usual_seconds = time.monotonic() - began
    for number in range(KILLS):
        kind = kinds[FORMATS[number % 2]]
        run = kind.start("backfill", "--stale")
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))

        again = kind.run("backfill", "--stale")

        assert again.code == 0, again.err
        assert _whole(kind) == unbroken[FORMATS[number % 2]]


def test_two_at_once_build_each_variant_exactly_once(servers: Deployment) -> None:
    _ready(servers)
    puts: Counter[str] = Counter()

    def count(method: str, path: str, _number: int) -> Fault | None:
        if method == "PUT":
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
    _ready(deployment)
    [first, *_] = deployment.images()
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(images.update().values(thumb_key=None))
        take(connection, [Hold(id=first.id, attempts=first.attempts)], lease_seconds=1.0)
    catalog.close()

    result = _inline(deployment).run("backfill", "--json")

    assert result.code == 0, result.err
    assert result.summary["built"] == PHOTOS
    assert all(image.thumb_key and image.leased_until is None for image in deployment.images())


def test_an_image_that_fails_keeps_its_variants_and_is_named(deployment: Deployment) -> None:
    _ready(deployment)
    before = _whole(deployment)
    [broken, *_] = deployment.images()
    deployment.open_store().replace(broken.original_key or "", b"no picture", content_type="image/jpeg")

    result = _inline(deployment).run("backfill", "--force", "--json")

    assert result.code == 3
    assert result.summary["built"] == PHOTOS - 1
    assert result.summary["reasons"] == {"NotAnImage": 1}
    assert str(broken.id) in result.err
    assert _whole(deployment)[0] == before[0]


def test_a_dry_run_says_what_would_be_built_and_builds_nothing(deployment: Deployment) -> None:
    _ready(deployment)
    before = _whole(deployment), [image.attempts for image in deployment.images()]

    result = _inline(deployment).run("backfill", "--force", "--variant", "thumb", "--limit", "4", "--dry-run", "--json")

    assert result.code == 0, result.err
    assert result.summary["planned"] == 4
    assert result.summary["variants"] == {"thumb": 4}
    assert (_whole(deployment), [image.attempts for image in deployment.images()]) == before


def test_a_stopped_rebuild_goes_on_where_it_was(embedded: Deployment) -> None:
    _ready(embedded)
    force = partial(_inline(embedded).run, "backfill", "--force", "--json")

    first, second, third = force("--limit", "2"), force(), force()

    assert [result.code for result in (first, second, third)] == [0, 0, 0]
    assert [result.summary["built"] for result in (first, second, third)] == [2, PHOTOS - 2, PHOTOS]


def test_shards_share_the_images_among_them(deployment: Deployment) -> None:
    _ready(deployment)

    results = [_inline(deployment).run("backfill", "--force", "--shard", f"{one}/3", "--json") for one in (1, 2, 3)]

    built = [str(record["id"]) for result in results for record in result.of("image")]
    assert sorted(built) == [str(image.id) for image in deployment.images()]


def test_only_the_named_images_are_built(deployment: Deployment) -> None:
    _ready(deployment)
    named = [str(image.id) for image in deployment.images()][1:3]
    listed = deployment.directory / "ids.txt"
    listed.write_text("\n".join([*named, "0190b2b4-0000-7000-8000-00000000dead"]))

    result = _inline(deployment).run("backfill", "--force", "--ids-from", listed, "--json")

    assert result.code == 3
    assert [record["id"] for record in result.of("image")] == named
    assert f"{listed}:3" in result.err


def test_archived_originals_are_priced_then_restored_within_a_budget_then_built(embedded: Deployment) -> None:
    _ready(embedded)
    run = _inline(embedded).run
    for image in embedded.images()[:2]:
        _archive(embedded, image)
    [cold, *_] = embedded.images()

    first = run("backfill", "--force", "--json")
    strict = run("backfill", "--force", "--require-all", "--json")
    asked = run("backfill", "--force", "--restore", "bulk", "--max-usd", "1", "--json")
    last = run("backfill", "--force", "--require-all", "--json")

    assert [result.code for result in (first, strict, asked, last)] == [0, 3, 0, 0]
    assert first.summary["needs_restore"] == {
        "images": 2,
        "bytes": sum(image.bytes or 0 for image in embedded.images()[:2]),
        "classes": {"GLACIER": 2},
        "billing": "none",
        "tiers": first.summary["needs_restore"]["tiers"],  # type: ignore[index]
    }
    assert asked.summary["restores"] == {"requested": 2}
    assert (first.summary["built"], last.summary["built"]) == (PHOTOS - 2, PHOTOS)
    assert embedded.images()[0].storage_class == "GLACIER"
    assert cold.restored_until is None and embedded.images()[0].restored_until is not None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--stale", "--force"], "--force builds the stale ones too"),
        (["--shard", "3/2"], "is no shard"),
        (["--restore", "sometime"], "bulk"),
    ],
)
def test_what_makes_no_sense_is_refused(embedded: Deployment, arguments: list[str], word: str) -> None:
    result = embedded.run("backfill", *arguments)

    assert result.code == 2
    assert word in result.err


def _inline(deployment: Deployment) -> Deployment:
    """Renders in the command's own process: a start costs milliseconds."""
    return deployment.with_settings(WORK_SCHEDULER="inline")


def _ready(deployment: Deployment) -> None:
    """Some photos, uploaded and worked."""
    place = deployment.directory / "photos"
    place.mkdir()
    for number in range(PHOTOS):
        (place / f"{number}.jpg").write_bytes(photo(number))
    uploaded = deployment.run("upload", place, "--user", str(USER))
    worked = _inline(deployment).run("work", "--drain")
    assert (uploaded.code, worked.code) == (0, 0), uploaded.err + worked.err


def _unbroken(deployment: Deployment) -> tuple[dict[str, Deployment], dict[str, Whole]]:
    """The deployment with each format of thumbs and fulls, and the state in which an unbroken run leaves it."""
    _ready(deployment)
    inline = _inline(deployment)
    kinds = {one: inline.with_settings(VARIANTS_THUMB_FORMAT=one, VARIANTS_FULL_FORMAT=one) for one in FORMATS}
    unbroken = {}
    for name in reversed(FORMATS):
        done = kinds[name].run("backfill", "--stale")
        assert done.code == 0, done.err
        unbroken[name] = _whole(kinds[name])
    kinds[FORMATS[1]].run("backfill", "--stale")
    return kinds, unbroken


def _whole(deployment: Deployment) -> Whole:
    """Every row but for its tries, and every blob."""
    store = deployment.open_store()
    names = [name for name in Image.__dataclass_fields__ if name not in TRIES]
    rows: list[tuple[object, ...]] = [tuple(getattr(image, name) for name in names) for image in deployment.images()]
    return rows, {blob.key: store.get(blob.key) for blob in store.scan()}


def _archive(deployment: Deployment, image: Image) -> None:
    """Move an original to GLACIER, and say so in its row."""
    cold, key = open_cold(deployment.store), image.original_key or ""
    blob = cold.head(key)
    assert blob is not None
    cold.move(key, to="GLACIER", etag=blob.etag)
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(images.update().where(images.c.id == image.id).values(storage_class="GLACIER"))
    catalog.close()


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant
