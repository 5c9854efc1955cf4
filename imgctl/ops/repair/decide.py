"""Chooses the repair of a finding from the finding and its current state: pure, and in doubt nothing is changed."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import UUID

from imgctl.keys import ORIGINAL
from imgctl.model import LOST, Image, Status, StorageClass, Variant
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.repair.options import Decision, Do, Evidence, RepairOrder
from imgctl.units import count_of

_DELETES = (Do.DROP, Do.TRASH, Do.ERASE)
Judge = Callable[[Finding, Image, Evidence, RepairOrder], tuple[Do, str]]


def decide(finding: Finding, seen: Evidence, order: RepairOrder) -> Decision:
    """Return the repair for this finding in its current state."""
    do, detail = _judged(finding, seen, order)
    if do in _DELETES and seen.hold:
        do, detail = Do.LEAVE, f"it must not be deleted: {seen.hold}"
    return Decision(finding=finding, do=do, detail=detail, evidence=seen, key=blob_key(finding, seen.row))


def image_of(finding: Finding, order: RepairOrder) -> UUID | None:
    """Return the id of a finding's image; an orphan's id is in its key."""
    if finding.code is not Code.ORPHAN_BLOB:
        return finding.id
    key = order.own_key(finding.key)
    return key.id if key else None


def blob_key(finding: Finding, row: Image | None) -> str | None:
    """Return the key of a finding's blob: the one its row names now, else the one in the finding."""
    if row is None or finding.code in (Code.ORPHAN_BLOB, Code.ERASED_BUT_PRESENT):
        return finding.key
    return _named(finding, row) or finding.key


def _named(finding: Finding, row: Image) -> str | None:
    return row.key(finding.role) if finding.role in (ORIGINAL, *Variant) and finding.role else None


def _judged(finding: Finding, seen: Evidence, order: RepairOrder) -> tuple[Do, str]:
    if finding.code is Code.ORPHAN_BLOB:
        return _orphan(finding, seen, order)
    if finding.code is Code.ERASED_BUT_PRESENT:
        return _erased(finding, seen, order)
    if finding.code is Code.UNKNOWN_KEY:
        return Do.LEAVE, "not a key of imgctl: ask its owner before it is deleted"
    if seen.row is None:
        return Do.NOTHING, "its row is gone"
    if seen.held and seen.row.status is not Status.UPLOADING:
        return Do.LEAVE, "a worker holds it right now"
    judge = _JUDGES.get(finding.code)
    return judge(finding, seen.row, seen, order) if judge else (Do.LEAVE, _ADVICE[finding.code])


def _orphan(finding: Finding, seen: Evidence, order: RepairOrder) -> tuple[Do, str]:
    key, blob = finding.key or "", seen.blob
    if blob is None:
        return Do.NOTHING, "it is gone"
    if order.own_key(key) is None:
        return Do.LEAVE, "it is not shaped like a key of imgctl"
    if seen.erasure is not None:
        # A copy to the trash may arrive after the erasure has listed the trash.
        return Do.LEAVE, "its image is erased: audit again, or end it with imgctl erase --unfinished"
    if seen.row is not None and not _superseded(key, seen.row, seen):
        return Do.LEAVE, f"a row has its id and is {seen.row.status}: not an orphan for certain"
    if not order.delete_orphans:
        return Do.LEAVE, "no row names it: --delete-orphans moves it to the trash"
    if seen.now - blob.modified_at < timedelta(seconds=order.orphan_age_seconds):
        return Do.LEAVE, f"no row names it, but it is young: written {blob.modified_at:%Y-%m-%d %H:%M}"
    return Do.TRASH, f"no row names it: {count_of(blob.size, 'byte')}"


def _erased(finding: Finding, seen: Evidence, order: RepairOrder) -> tuple[Do, str]:
    if seen.blob is None:
        return Do.NOTHING, "it is gone"
    if not seen.erased or order.own_key(finding.key) is None:
        return Do.LEAVE, "it is not known to be erased to its end: imgctl erase --unfinished"
    if not order.erased:
        return Do.LEAVE, "its image was erased: --erased deletes it for good"
    return Do.ERASE, f"its image was erased: {count_of(seen.blob.size, 'byte')}"


def _superseded(key: str, row: Image, seen: Evidence) -> bool:
    """Whether a settled row names other keys for all roles, so that this one is left over from an older recipe."""
    named = [row.key(role) for role in (ORIGINAL, *Variant)]
    settled = row.status is Status.READY and None not in named and not seen.held
    return settled and key not in named


def _stuck_uploading(_finding: Finding, row: Image, seen: Evidence, _order: RepairOrder) -> tuple[Do, str]:
    if row.status is not Status.UPLOADING:
        return Do.NOTHING, f"it is {row.status} by now"
    if seen.original is None:
        return Do.DROP, "its bytes never came: the same upload again brings it back"
    if row.bytes is not None and seen.original.size != row.bytes:
        return Do.LEAVE, f"the blob has {count_of(seen.original.size, 'byte')}, not the promised {row.bytes:,}"
    return Do.CONFIRM, "its bytes are there"


def _stuck_processing(_finding: Finding, row: Image, seen: Evidence, _order: RepairOrder) -> tuple[Do, str]:
    if row.status is not Status.PROCESSING:
        return Do.NOTHING, f"it is {row.status} by now"
    if not seen.safe:
        return _lost(row, seen)
    if not seen.readable:
        return Do.LEAVE, _restore_first(row)
    if row.attempts == row.forgiven and row.leased_until is None:
        return Do.LEAVE, "it is in the queue and only lacks a worker: imgctl work"
    return Do.REQUEUE, f"tried {count_of(row.attempts, 'time')}: its attempts are forgiven"


def _failed(_finding: Finding, row: Image, seen: Evidence, order: RepairOrder) -> tuple[Do, str]:
    if row.status is not Status.FAILED:
        return Do.NOTHING, f"it is {row.status} by now"
    if not seen.safe:
        return Do.LEAVE, "its original is lost"
    if not seen.readable:
        return Do.LEAVE, _restore_first(row)
    if not order.failed:
        return Do.LEAVE, f"--failed tries it again: {row.error or 'no reason is recorded'}"
    return Do.REQUEUE, "tried again"


def _missing_original(_finding: Finding, row: Image, seen: Evidence, _order: RepairOrder) -> tuple[Do, str]:
    if row.status is Status.UPLOADING:
        return Do.LEAVE, "its bytes are still promised"
    return (Do.NOTHING, "it is there") if seen.safe else _lost(row, seen)


def _missing_variant(finding: Finding, row: Image, seen: Evidence, _order: RepairOrder) -> tuple[Do, str]:
    if row.status in (Status.UPLOADING, Status.PROCESSING):
        return Do.NOTHING, f"it is {row.status}: its variants are yet to be built"
    named = _named(finding, row) is not None
    if seen.blob is not None and seen.blob.size > 0:
        return (Do.NOTHING, "it is there") if named else (Do.REBIND, "it is there: the row names it again")
    if row.status is Status.READY and seen.safe and seen.readable:
        return Do.REQUEUE, "built anew from the original"
    if not seen.safe:
        why = "the original is lost, so that it cannot be built"
    elif not seen.readable:
        why = f"it can be built when the original is restored: imgctl restore {row.id}, then imgctl backfill"
    else:
        why = f"rendering failed: {row.error or 'no reason is recorded'}"
    return (Do.UNNAME, f"removed from its row; {why}") if named else (Do.LEAVE, why)


def _empty(finding: Finding, row: Image, seen: Evidence, order: RepairOrder) -> tuple[Do, str]:
    judge = _missing_original if finding.role == ORIGINAL else _missing_variant
    return judge(finding, row, seen, order)


def _size_mismatch(_finding: Finding, row: Image, seen: Evidence, _order: RepairOrder) -> tuple[Do, str]:
    if seen.original is not None and seen.original.size == row.bytes:
        return Do.NOTHING, "its size now matches the row"
    return Do.LEAVE, f"look at it: imgctl get {row.id} --out ."


def _class_drift(finding: Finding, row: Image, seen: Evidence, _order: RepairOrder) -> tuple[Do, str]:
    if finding.role in tuple(Variant):
        if seen.blob is None or seen.blob.storage_class == StorageClass.STANDARD:
            return Do.NOTHING, "it is gone" if seen.blob is None else "it is in STANDARD"
        build = f"imgctl backfill --force --variant {finding.role} --ids-from FINDINGS"
        return Do.LEAVE, f"a variant in {seen.blob.storage_class}: {build} puts it into STANDARD"
    if seen.original is None:
        return Do.LEAVE, "its original is lost"
    was, found = row.storage_class or "STANDARD", seen.original.storage_class
    if was == found:
        return Do.NOTHING, f"it is in {found}, as in its row"
    return Do.RECLASS, f"the row has {was}, the store {found}: the row is corrected"


def _lost(row: Image, seen: Evidence) -> tuple[Do, str]:
    if row.is_lost:
        return Do.LEAVE, "it is marked as lost: upload another copy of the photo"
    how = "is missing from the store" if seen.original is None else "is empty in the store"
    return Do.FAIL, f"{LOST}the original {how}"


def _restore_first(row: Image) -> str:
    return f"its original must be restored first: imgctl restore {row.id}"


_JUDGES: Mapping[Code, Judge] = {
    Code.STUCK_UPLOADING: _stuck_uploading,
    Code.STUCK_PROCESSING: _stuck_processing,
    Code.FAILED: _failed,
    Code.MISSING_ORIGINAL: _missing_original,
    Code.MISSING_VARIANT: _missing_variant,
    Code.EMPTY_BLOB: _empty,
    Code.SIZE_MISMATCH: _size_mismatch,
    Code.CLASS_DRIFT: _class_drift,
}
_ADVICE = {
    Code.ARCHIVED_WITHOUT_VARIANTS: "restore the original first: imgctl restore, then imgctl backfill",
    Code.STALE_RECIPE: "imgctl backfill --stale builds it anew",
    Code.VARIANT_DIFFERS: "look at both; imgctl backfill --force --ids-from FINDINGS builds the variants anew",
    Code.UNLIKELY_DATE: "its id and key hold the date, so it stays: leave the finding out with --fail-on",
    Code.CHECKSUM_MISMATCH: "it is not what was uploaded: only another copy of the photo can repair it",
}
