"""The limits on what one repair may delete or give up, checked before any change."""

from collections.abc import Iterable

from imgctl.errors import ImgctlError
from imgctl.keys import ORIGINAL
from imgctl.ops.audit.findings import Code, Finding, Why
from imgctl.ops.common.parts import Parts
from imgctl.ops.repair.order import RepairOrder
from imgctl.store.catalog.queries.aggregates import named_keys
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.units import count_of


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
            f"{count_of(lost, 'original is', 'originals are')} gone, more than --max-lost {order.max_lost:,}"
        )
    return lost


def _is_loss(finding: Finding) -> bool:
    """Whether the repair of a finding gives up an original: marks a row as lost, or drops a promise."""
    empty = finding.code is Code.EMPTY_BLOB and finding.role == ORIGINAL
    return empty or finding.code is Code.MISSING_ORIGINAL or finding.why is Why.BYTES_MISSING


def _too_many(text: str) -> ImgctlError:
    hint = "look whether catalog and store belong together, then raise it"
    return ImgctlError(f"{text}: nothing was touched", hint=hint)
