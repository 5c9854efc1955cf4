"""What `imgctl transition` says: of each original, of what moves, what it costs, and what stays and why."""

from collections.abc import Mapping
from decimal import Decimal

from imgctl.cli.base import Json
from imgctl.ops.transition.order import Fate, Outcome, Reason, TransitionOrder
from imgctl.ops.transition.survey import Bill, Survey
from imgctl.pricing.costs import Sized
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import dollars, plain
from imgctl.units import count_of, counts_of, format_bytes


def record(outcome: Outcome) -> dict[str, Json]:
    """An original for JSON."""
    image = outcome.image
    return {
        "type": "image",
        "id": str(image.id),
        "original_key": image.original_key,
        "bytes": image.bytes,
        "storage_class": outcome.storage_class or "STANDARD",
        "fate": outcome.fate.value,
        "reason": outcome.reason.value if outcome.reason else None,
        "detail": outcome.detail,
    }


def estimate_record(found: Survey, bill: Bill, billing: Billing) -> dict[str, Json]:
    """The survey and its price for JSON; amounts as text."""
    return {
        "originals": found.objects,
        "bytes": found.size,
        **bill.estimate.record(billing),
        "saving_per_month": plain(bill.saving),
        "payback_months": None if bill.payback is None else plain(bill.payback.quantize(Decimal("0.01"))),
        "old_versions_per_month": plain(bill.old_versions),
        "keeps_versions": found.keeps_versions,
        "recorded": found.recorded,
        "left_out": left_out_record(found.left_out),
    }


def left_out_record(left_out: Mapping[Reason, Sized]) -> dict[str, Json]:
    """What stays, by reason, for JSON."""
    return {reason.value: {"originals": one.objects, "bytes": one.size} for reason, one in left_out.items()}


def survey_text(found: Survey, order: TransitionOrder, billing: Billing, bill: Bill, *, acts: bool) -> list[str]:
    """The survey in lines for people."""
    moves = f"{'to move' if acts else 'would move'} to {order.policy.to}"
    lines = [f"{count_of(found.objects, 'original')}, {format_bytes(found.size)}, {moves}"]
    if found.objects:
        lines.append(bill.estimate.text(billing))
        if billing is not Billing.NONE:
            lines.append(_saving_text(bill))
    if found.keeps_versions and not order.delete_noncurrent and found.objects:
        amount = dollars(bill.old_versions)
        lines.append(
            f"the bucket keeps versions: what is copied from stays, and stays billed, {amount} a month "
            "(--delete-noncurrent deletes each once its copy is verified)"
        )
    if found.keeps_versions is None:
        lines.append("whether the bucket keeps old versions, which stay billed, could not be seen")
    if found.recorded:
        lines.append(f"{count_of(found.recorded, 'row names', 'rows name')} another class than the store does")
    return [*lines, left_out_text(found.left_out)] if found.left_out else lines


def left_out_text(left_out: Mapping[Reason, Sized]) -> str:
    """What stays and why, in a line."""
    count = sum(one.objects for one in left_out.values())
    told = (f"{counts_of({reason: one.objects})} ({format_bytes(one.size)})" for reason, one in left_out.items())
    return f"left out {count:,}: {', '.join(told)}"


def summary_text(fates: Mapping[Fate, int], size: int, *, to: str, moved: str) -> str:
    """`3 originals moved to GLACIER (4.1 MiB), 1 left out`; `moved` is how it is said: `would move`, `will move`."""
    first = f"{count_of(fates[Fate.MOVED] + fates[Fate.PLANNED], 'original')} {moved} to {to} ({format_bytes(size)})"
    named = {} if moved == "moved" else {Fate.RECORDED: "would be recorded"}
    rest = counts_of({one: fates[one] for one in (Fate.RECORDED, Fate.LEFT_OUT, Fate.FAILED)}, named=named, none="")
    return f"{first}, {rest}" if rest else first


def _saving_text(bill: Bill) -> str:
    if bill.payback is None:
        return f"saves nothing: each month costs {dollars(-bill.saving)} more"
    return f"saves {dollars(bill.saving)} a month, paid back after {bill.payback:.1f} months"
