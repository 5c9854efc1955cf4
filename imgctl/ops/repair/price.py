"""What a repair costs beyond its lookups, computed from the findings: reads that prove it, and copies to the trash."""

from collections.abc import Iterable

from imgctl.ops.audit.findings import Code, Finding, Why
from imgctl.ops.common.range_reads import CHUNK_BYTES
from imgctl.ops.common.spend import Terms
from imgctl.ops.repair.options import RepairOrder
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import dollars
from imgctl.units import count_of, format_bytes


def repair_price(findings: Iterable[Finding], order: RepairOrder, terms: Terms) -> str:
    """Return the maximum price of the reads and copies as a sentence.

    Empty for a store that charges nothing, and if nothing is read or copied. A dry run reads the same, and copies nothing.
    """
    if terms.bill is Billing.NONE:
        return ""
    reads = read_bytes = gets = copies = 0
    for one in findings:
        if one.why in (Why.BYTES_SAFE, Why.NOT_NAMED):
            reads, read_bytes = reads + 1, read_bytes + (one.bytes or 0)
            gets += max(1, -(-(one.bytes or 0) // CHUNK_BYTES))
        copies += one.code is Code.ORPHAN_BLOB and order.delete_orphans
    if not (reads or copies):
        return ""
    steps = []
    if reads:
        steps.append(f"read {count_of(reads, 'blob')} ({format_bytes(read_bytes)}) to prove their repairs")
    if copies:
        steps.append(f"copy {count_of(copies, 'orphan')} to the trash")
    # A copy has the price of a put.
    price = terms.quoted(f"{dollars(terms.requests(gets=gets, puts=copies))} for requests")
    return f"to {' and '.join(steps)} costs up to {price}, plus {terms.beside_requests()}"
