"""Restores written to a plan, and performed from one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from imgctl.errors import UsageError
from imgctl.model import Image
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.spend import Terms
from imgctl.ops.plan import Action, Applied, PlanWriter, Site, row_version
from imgctl.ops.plan import Fate as Performed
from imgctl.ops.restore.ask import RUN_ENDED, request
from imgctl.ops.restore.options import RESTORES_A_SECOND, Fate, Outcome, RestoreOrder
from imgctl.ops.restore.survey import Needs
from imgctl.pricing.lines import Json
from imgctl.store.blobs.base import Tier
from imgctl.store.catalog.queries.lookups import by_ids

DO = "restore"
_PERFORMED = {
    Fate.REQUESTED: Performed.DONE,
    Fate.EXTENDED: Performed.DONE,
    Fate.MOVED: Performed.DONE,
    Fate.RESTORING: Performed.ALREADY,
    Fate.RESTORED: Performed.ALREADY,
    Fate.READABLE: Performed.ALREADY,
    Fate.PLANNED: Performed.PLANNED,
    Fate.CHANGED: Performed.REFUSED,
    Fate.MISSING: Performed.REFUSED,
}


def planned(
    outcomes: Iterable[Outcome], order: RestoreOrder, file: Path, *, terms: Terms, versioned: bool, stop: StopSignal
) -> Iterator[Outcome]:
    """Pass on the outcomes of a dry run, and write the planned requests to a plan that ends with their estimate.

    The estimate leaves out originals beyond the budget. `versioned`: the bucket keeps versions.
    """
    needs = Needs(versioned=versioned)
    parameters: dict[str, Json] = {"tier": order.tier.value, "days": order.days, "permanent": order.permanent}
    with PlanWriter(file, command=DO, stop=stop) as plan:
        size = 0
        for outcome in outcomes:
            blob, image = outcome.seen.blob, outcome.seen.image
            if outcome.fate is Fate.PLANNED and blob is not None:
                version, more = row_version(image), parameters | {"bytes": blob.size}
                plan.add(Action(do=DO, id=image.id, key=blob.key, etag=blob.etag, row=version, parameters=more))
                size += blob.size
                needs.add(outcome.seen, order)
            yield outcome
        plan.conclude({"bytes": size, "estimate": needs.estimate(terms.card, order).record(terms.bill)})


def perform(actions: Sequence[Action], site: Site) -> Iterator[Applied]:
    """Request the restores of a plan; changed originals are refused, restoring or restored ones count as done already."""
    for order, some in _by_terms(actions, site):
        yield from _perform(some, order, site)


def _perform(actions: Sequence[Action], order: RestoreOrder, site: Site) -> Iterator[Applied]:
    by_id = {action.id: action for action in actions}
    images = read(site.parts.catalog, partial(by_ids, ids=tuple(by_id)), stop=site.stop)
    for action in actions:
        if action.id not in images:
            yield Applied(action=action, fate=Performed.REFUSED, detail="its row is gone")
    etags = {one.id: one.etag for one in actions}
    drifted = {one.id for one in actions if one.id in images and one.row not in _versions(images[one.id])}
    order = replace(order, etags=etags, held=frozenset(drifted))
    for outcome in request([list(images.values())], order, parts=site.parts, stop=site.stop):
        if outcome.detail != RUN_ENDED:
            action = by_id[outcome.seen.image.id]
            fate = _PERFORMED.get(outcome.fate, Performed.FAILED)
            yield Applied(action=action, fate=fate, detail=outcome.detail)


def _by_terms(actions: Sequence[Action], site: Site) -> Iterator[tuple[RestoreOrder, list[Action]]]:
    kinds: dict[tuple[str, int, bool], list[Action]] = {}
    for action in actions:
        terms = action.text("tier"), action.count("days"), action.parameters.get("permanent") is True
        kinds.setdefault(terms, []).append(action)
    for (tier, days, permanent), some in kinds.items():
        if tier not in tuple(Tier):
            raise UsageError(f"plan: restore {some[0].id} has no tier {tier}", hint="write the plan anew")
        order = RestoreOrder(
            tier=Tier(tier),
            days=days,
            permanent=permanent,
            concurrency=site.concurrency,
            rate=site.rate or RESTORES_A_SECOND,
            dry_run=site.dry_run,
        )
        yield order, some


def _versions(image: Image) -> set[str]:
    """Return the versions of the row: as it is, and as it was before an earlier run of the plan wrote its class."""
    return {row_version(image), row_version(replace(image, storage_class=None))}
