"""One repair from its findings on: an audit of its own where there are none, the limits, the plan."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from imgctl.ops.audit.findings import FindingsFile
from imgctl.ops.audit.order import AuditOrder, Tally
from imgctl.ops.audit.start import audit
from imgctl.ops.parts import Parts
from imgctl.ops.plan import PlanWriter
from imgctl.ops.repair.order import Outcome, RepairOrder, check_losses, check_share
from imgctl.ops.repair.pipeline import repair
from imgctl.ops.repair.planning import action_of
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import BadId
from imgctl.run.scratch import Scratch
from imgctl.store.catalog.lookups import Scope


@contextmanager
def audited(parts: Parts, order: AuditOrder, *, stop: StopSignal) -> Iterator[tuple[FindingsFile, list[BadId]]]:
    """What an audit finds, in a temporary file, and the lines of an ids file that name no row."""
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
    """Repair what was found, or (dry) say what would be done, in a `plan` too; one outcome for each finding.

    ImgctlError, before anything is touched, where that is more than the order allows.
    """
    if order.apply:
        check_losses(source, order)
    if order.delete_orphans:
        check_share(source, order, parts, scope=scope)
    with PlanWriter(plan, command="repair") if plan else nullcontext() as writer:
        for outcome in repair(source, order, parts, stop=stop):
            if writer is not None and (action := action_of(outcome.decision, order)):
                writer.add(action)
            yield outcome
