"""Repairs in plan files: what would be done, with the row and the blob as they were seen; and doing exactly that later."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from imgctl.ops.audit.findings import Finding, from_record
from imgctl.ops.plan import Action, Applied, Fate, Site, row_version
from imgctl.ops.repair.decide import image_of
from imgctl.ops.repair.order import ACTS, Decision, Do, RepairOrder
from imgctl.ops.repair.order import Fate as Repaired
from imgctl.ops.repair.pipeline import Repairs
from imgctl.run.threads import thread_pool

DO_PREFIX = "repair_"
NONE = "-"
_FATES = {
    Repaired.MENDED: Fate.DONE,
    Repaired.PLANNED: Fate.PLANNED,
    Repaired.WELL: Fate.ALREADY,
    Repaired.LEFT: Fate.REFUSED,
    Repaired.DRIFTED: Fate.REFUSED,
    Repaired.FAILED: Fate.FAILED,
}


def action_of(decision: Decision, order: RepairOrder) -> Action | None:
    """What a plan says of a decision; None for one that does nothing, or about no image."""
    image_id = image_of(decision.finding, order)
    if decision.do not in ACTS or image_id is None:
        return None
    return Action(
        do=f"{DO_PREFIX}{decision.do}",
        id=image_id,
        key=decision.key or NONE,
        etag=_etag(decision),
        row=_row(decision),
        parameters={"finding": {name: value for name, value in decision.finding.record().items() if value is not None}},
    )


def perform_repairs(actions: Sequence[Action], site: Site) -> Iterator[Applied]:
    """Do the repairs of a plan, each if its row and its blob are as the plan saw them and want the same done."""
    store = site.parts.settings.store
    order = RepairOrder(
        apply=not site.dry_run,
        failed=True,
        delete_orphans=True,
        orphan_age_seconds=0,
        concurrency=site.concurrency,
        originals_prefix=store.originals_prefix,
        variants_prefix=store.variants_prefix,
    )
    with thread_pool(order.concurrency, name="repair") as threads:
        repairs = Repairs(order, site.parts, threads, site.stop)
        going: list[tuple[Action, Decision]] = []
        for action, decision in zip(actions, repairs.decide([_finding(one) for one in actions]), strict=True):
            if decision.do is Do.NOTHING:
                yield Applied(action=action, fate=Fate.ALREADY, detail=decision.detail)
            elif drift := _drift(action, decision):
                yield Applied(action=action, fate=Fate.REFUSED, detail=drift)
            else:
                going.append((action, decision))
        actions_of = {id(decision): action for action, decision in going}
        for outcome in repairs.perform([decision for _, decision in going]):
            action = actions_of[id(outcome.decision)]
            yield Applied(action=action, fate=_FATES[outcome.fate], detail=outcome.detail)


def _finding(action: Action) -> Finding:
    found = action.parameters.get("finding")
    return replace(
        from_record(found if isinstance(found, dict) else {}), key=None if action.key == NONE else action.key
    )


def _drift(action: Action, decision: Decision) -> str:
    if f"{DO_PREFIX}{decision.do}" != action.do:
        return f"it now wants something else: {decision.detail}"
    if _row(decision) != action.row:
        return "its row changed since"
    return "" if _etag(decision) == action.etag else "its blob changed since"


def _etag(decision: Decision) -> str:
    blob = decision.evidence.blob
    return NONE if blob is None else blob.etag or NONE


def _row(decision: Decision) -> str:
    return NONE if decision.evidence.row is None else row_version(decision.evidence.row)
