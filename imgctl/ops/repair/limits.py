"""How much may go at once: too many orphans or losses are rather a sign of a wrong catalog or a wrong store."""

from collections.abc import Iterable

from imgctl.errors import ImgctlError
from imgctl.keys import ORIGINAL
from imgctl.ops.audit.findings import Code, Finding, Why
from imgctl.ops.parts import Parts
from imgctl.ops.repair.decide import own_key
from imgctl.ops.repair.order import RepairOrder
from imgctl.store.catalog.aggregates import named_keys
from imgctl.store.catalog.lookups import Scope
from imgctl.units import count_of


def check_share(findings: Iterable[Finding], order: RepairOrder, parts: Parts, *, scope: Scope) -> int:
    """How many orphans are to go; ImgctlError, before anything is touched, where they are too many to be believed."""
    orphans = sum(one.code is Code.ORPHAN_BLOB and own_key(one.key or "", order) is not None for one in findings)
    if not orphans:
        return 0
    if orphans > order.max_delete:
        raise ImgctlError(
            f"{count_of(orphans, 'orphan')}, more than --max-delete {order.max_delete:,}: nothing was touched",
            hint="look whether catalog and store belong together, then raise it",
        )
    with parts.catalog.read() as connection:
        keys = named_keys(connection, scope) + orphans
    percent = 100 * orphans / keys
    if percent > order.max_delete_percent:
        raise ImgctlError(
            f"{count_of(orphans, 'orphan')}, {percent:.1f}% of {count_of(keys, 'key')} in scope, more than --max-delete-percent "
            f"{order.max_delete_percent:g}: nothing was touched",
            hint="look whether catalog and store belong together, then raise it",
        )
    return orphans


def check_losses(findings: Iterable[Finding], order: RepairOrder) -> int:
    """How many originals are gone; ImgctlError, before any row is marked, where they are too many to be believed."""
    lost = sum(_is_loss(one) for one in findings)
    if lost > order.max_lost:
        raise ImgctlError(
            f"{count_of(lost, 'original is', 'originals are')} gone, more than --max-lost {order.max_lost:,}: nothing was touched",
            hint="look whether catalog and store belong together, then raise it",
        )
    return lost


def _is_loss(finding: Finding) -> bool:
    """Whether mending it gives up an original: a row that is marked as lost, or a promise that is dropped."""
    empty = finding.code is Code.EMPTY_BLOB and finding.role == ORIGINAL
    return empty or finding.code is Code.MISSING_ORIGINAL or finding.why is Why.BYTES_MISSING
