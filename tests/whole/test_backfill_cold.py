"""`imgctl backfill` with archived originals: it prices them, restores within a budget, and builds readable ones."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from imgctl.model import Image, StorageClass
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.parts.proxy import Fault, fault_proxy
from tests.whole.backfilling import PHOTOS, ready
from tests.whole.cold import archive, is_restore
from tests.whole.deployment import USER, Deployment, Result
from tests.whole.staged import Frozen, frozen

__all__ = ["frozen"]

FORCE = ("backfill", "--force", "--json")
ASK = (*FORCE, "--restore", "bulk", "--max-usd", "20")


def test_from_transition_to_needs_restore_with_its_price_to_built_to_expired(frozen: Frozen) -> None:
    ready(frozen.deployment)
    cold = _transitioned(frozen.deployment, 2)
    frozen.hold()
    requested: list[str] = []

    def policy(method: str, path: str, _number: int) -> Fault | None:
        requested.extend([path] if is_restore(method, path) else [])
        return None

    with fault_proxy(frozen.deployment.store.endpoint_url, policy=policy) as proxy:
        run = frozen.deployment.through(proxy.url).run
        priced = run(*FORCE)
        without_restore = len(requested)
        first = run(*ASK)
        second = run(*ASK)
        third = run("restore", "--user", str(USER), "--tier", "bulk", "--yes", "--json")
        waiting = run(*FORCE, "--require-all")
        frozen.finish()
        built = run(*FORCE, "--require-all")
        frozen.expire()
        _set(frozen.deployment, cold, restored_until=datetime.now(UTC) - timedelta(hours=1))
        expired = run(*FORCE)

    assert _needs(priced) == 2
    # 1,000 expedited requests cost 10 dollars, standard ones 5 cents, bulk ones none; a few KB cost less than a cent.
    assert {name: round(Decimal(usd), 2) for name, usd in _tiers(priced).items()} == {
        "bulk": Decimal("0.00"),
        "standard": Decimal("0.00"),
        "expedited": Decimal("0.02"),
    }
    assert without_restore == 0
    assert (first.summary["restores"], len(requested)) == ({"requested": 2}, 2)
    assert (second.summary["restoring"], _needs(second), second.code) == (2, 0, 0)
    assert (third.summary["requested"], third.summary["restoring"], third.code) == (0, 2, 0)
    assert (waiting.summary["restoring"], waiting.code) == (2, 3)
    assert (built.summary["built"], built.summary["readable_now"], built.code) == (PHOTOS, 2, 0)
    assert (_needs(expired), expired.summary["built"]) == (2, PHOTOS - 2)
    assert [result.summary["built"] for result in (priced, first, second, waiting)] == [PHOTOS - 2] * 4
    assert {image.storage_class for image in frozen.deployment.images()[: len(cold)]} == {"GLACIER"}


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_what_reading_colder_originals_costs_is_shown_before_and_after_a_run(
    frozen: Frozen, options: tuple[str, ...]
) -> None:
    ready(frozen.deployment)
    names = frozen.deployment.directory / "to-move.txt"
    moved = frozen.deployment.images()[:2]
    names.write_text("".join(f"{image.id}\n" for image in moved))
    cooled = frozen.deployment.run(
        "transition", "--to", "GLACIER_IR", "--ids-from", names, "--min-size", "0", "--yes", "--json"
    )
    assert cooled.summary["moved"] == 2, cooled.err

    result = frozen.deployment.run(*FORCE, *options)

    assert (
        "STANDARD_IA, ONEZONE_IA, GLACIER_IR: price unknown for this endpoint; AWS us-east-1 would charge" in result.err
    )
    assert "$0.01 to $0.03 per GB read" in result.err
    size = sum(image.bytes or 0 for image in moved)
    assert Decimal(str(result.summary["retrieval_usd"])) == size * Decimal("0.03") / 2**30


def test_restores_end_with_the_budget(frozen: Frozen) -> None:
    ready(frozen.deployment)
    _archived(frozen.deployment, 3)
    run = frozen.deployment.run
    each = Decimal(_tiers(run(*FORCE))["expedited"]) / 3

    result = run(*FORCE, "--restore", "expedited", "--max-usd", str(each * 2 + each / 2))

    assert result.summary["restores"] == {"requested": 2, "left": 1}
    assert result.code == 0


def test_restores_want_a_budget_or_consent(frozen: Frozen) -> None:
    refused = frozen.deployment.run("backfill", "--restore", "bulk")

    assert refused.code == 2
    assert "--max-usd" in refused.err


def test_originals_of_a_directory_are_restored_free_and_at_once(embedded: Deployment) -> None:
    ready(embedded)
    _archived(embedded, 2)
    run = embedded.run

    priced, requested, built = run(*FORCE), run(*FORCE, "--restore", "bulk"), run(*FORCE, "--require-all")

    assert [result.code for result in (priced, requested, built)] == [0, 0, 0]
    assert (_needs(priced), priced.summary["built"]) == (2, PHOTOS - 2)
    assert requested.summary["restores"] == {"requested": 2}
    assert (_needs(built), built.summary["built"]) == (0, PHOTOS)
    assert [image.restored_until is not None for image in embedded.images()] == [True] * 2 + [False] * (PHOTOS - 2)


def _transitioned(deployment: Deployment, count: int) -> list[Image]:
    """Move originals to GLACIER with `imgctl transition`; return their rows."""
    found = deployment.images()[:count]
    names = deployment.directory / "to-move.txt"
    names.write_text("".join(f"{image.id}\n" for image in found))
    options = ("--ids-from", names, "--min-size", "0", "--yes", "--json")
    moved = deployment.run("transition", "--to", "GLACIER", *options)
    assert (moved.code, moved.summary["moved"]) == (0, count), moved.err
    return found


def _archived(deployment: Deployment, count: int) -> list[Image]:
    """Archive originals in the store and set the class of their rows; return the rows."""
    found = deployment.images()[:count]
    archive(deployment, [image.original_key or "" for image in found])
    _set(deployment, found, storage_class=StorageClass.GLACIER)
    return found


def _set(deployment: Deployment, rows: list[Image], **values: object) -> None:
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        statement = update(images).where(images.c.id.in_([image.id for image in rows]))
        connection.execute(statement.values(**values))
    catalog.close()


def _needs(result: Result) -> int:
    needs = result.summary["needs_restore"]
    assert isinstance(needs, dict)
    return int(needs["images"])


def _tiers(result: Result) -> dict[str, str]:
    needs = result.summary["needs_restore"]
    assert isinstance(needs, dict)
    return {name: offer["usd"] for name, offer in needs["tiers"].items()}
