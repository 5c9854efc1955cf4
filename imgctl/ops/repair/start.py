"""One repair: the findings (of an audit of its own if none are given), the limits, the plan; and performing a plan later."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

from imgctl.errors import ImgctlError
from imgctl.keys import ORIGINAL
from imgctl.ops.audit.findings import Code, Finding, FindingsFile, Why, from_record
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.start import audit
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.rows import BadId
from imgctl.ops.plan import Action, Applied, Fate, PlanWriter, Site, row_version
from imgctl.ops.repair.decide import image_of
from imgctl.ops.repair.options import ACTS, Decision, Do, Outcome, RepairOrder
from imgctl.ops.repair.options import Fate as Repaired
from imgctl.ops.repair.pipeline import BATCH, Repairs, repair
from imgctl.run.scratch import Scratch
from imgctl.run.threads import thread_pool
from imgctl.store.catalog.queries.aggregates import named_keys
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.units import count_of

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
    """Return the plan's action for a decision; None if it changes nothing, or concerns no image."""
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
    """Perform a plan's repairs; each only if its row and blob are unchanged and the decision is the same."""
    store = site.parts.settings.store
    order = RepairOrder(
        apply=not site.dry_run,
        failed=True,
        delete_orphans=True,
        erased=True,
        orphan_age_seconds=0,
        concurrency=site.concurrency,
        rate=site.rate,
        originals_prefix=store.originals_prefix,
        variants_prefix=store.variants_prefix,
    )
    with thread_pool(order.concurrency, name="repair") as threads:
        repairs, left = Repairs(order, site.parts, threads, site.stop), iter(actions)
        while not site.stop.is_set() and (batch := list(islice(left, BATCH))):
            yield from _perform(batch, repairs)


def _perform(actions: Sequence[Action], repairs: Repairs) -> Iterator[Applied]:
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
        return f"it now needs another repair: {decision.detail}"
    if _row(decision) != action.row:
        return "its row changed since"
    return "" if _etag(decision) == action.etag else "its blob changed since"


def _etag(decision: Decision) -> str:
    blob = decision.evidence.blob
    return NONE if blob is None else blob.etag or NONE


def _row(decision: Decision) -> str:
    return NONE if decision.evidence.row is None else row_version(decision.evidence.row)


@contextmanager
def audited(parts: Parts, order: AuditOrder, *, stop: StopSignal) -> Iterator[tuple[FindingsFile, list[BadId]]]:
    """Run an audit; yields its findings in a temporary file, and the lines of an ids file without a row."""
    bad: list[BadId] = []
    with Scratch("findings") as scratch:
        file = scratch.path / "findings.jsonl"
        with file.open("w", encoding="utf-8") as kept:
            for finding in audit(parts, order, tally=Tally(), stop=stop, bad=bad):
                kept.write(json.dumps(finding.record()) + "\n")
        yield FindingsFile(file=file), bad


def repair_all(
    source: FindingsFile, order: RepairOrder, parts: Parts, *, scope: Scope, plan: Path | None, stop: StopSignal
) -> Iterator[Outcome]:
    """Repair findings, or (dry run) report the planned repairs, also to a `plan`; one outcome for each finding.

    ImgctlError, before anything is changed or planned, if the order's limits are exceeded.
    """
    if order.apply or plan:
        check_losses(source, order)
    if order.delete_orphans:
        check_share(source, order, parts, scope=scope)
    with PlanWriter(plan, command="repair", stop=stop) if plan else nullcontext() as writer:
        for outcome in repair(source, order, parts, stop=stop):
            if writer is not None and (action := action_of(outcome.decision, order)):
                writer.add(action)
            yield outcome


def check_share(findings: Iterable[Finding], order: RepairOrder, parts: Parts, *, scope: Scope) -> int:
    """Return the number of orphans to delete; ImgctlError, before any change, if they exceed the options' limits."""
    orphans = sum(one.code is Code.ORPHAN_BLOB and order.own_key(one.key) is not None for one in findings)
    if not orphans:
        return 0
    if orphans > order.max_delete:
        raise _too_many(f"{count_of(orphans, 'orphan')}, more than --max-delete {order.max_delete:,}")
    with parts.catalog.read() as connection:
        keys = named_keys(connection, scope) + orphans
    percent = 100 * orphans / keys
    if percent > order.max_delete_percent:
        limit = f"--max-delete-percent {order.max_delete_percent:g}"
        share = f"{percent:.1f}% of {count_of(keys, 'key')} in scope"
        raise _too_many(f"{count_of(orphans, 'orphan')}, {share}, more than {limit}")
    return orphans


def check_losses(findings: Iterable[Finding], order: RepairOrder) -> int:
    """Return the number of missing originals; ImgctlError, before any row is marked, if they exceed `max_lost`."""
    lost = sum(_is_loss(one) for one in findings)
    if lost > order.max_lost:
        raise _too_many(
            f"{count_of(lost, 'original is', 'originals are')} gone or never arrived, more than --max-lost {order.max_lost:,}"
        )
    return lost


def _is_loss(finding: Finding) -> bool:
    """Whether the repair of a finding gives up an original: marks a row as lost, or drops a promise."""
    empty = finding.code is Code.EMPTY_BLOB and finding.role == ORIGINAL
    return empty or finding.code is Code.MISSING_ORIGINAL or finding.why is Why.BYTES_MISSING


def _too_many(text: str) -> ImgctlError:
    hint = "look whether catalog and store belong together, then raise it"
    return ImgctlError(f"{text}: nothing was touched", hint=hint)
