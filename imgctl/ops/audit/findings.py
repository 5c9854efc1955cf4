"""Findings of an audit: the codes, one finding, and findings as NDJSON, written and read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imgctl.errors import UsageError, usable
from imgctl.jsontext import parse_json
from imgctl.keys import ORIGINAL
from imgctl.model import Image
from imgctl.ops.common.lookup import plain
from imgctl.store.blobs.base import Blob


class Code(StrEnum):
    """The kinds of findings; the values are stable."""

    MISSING_ORIGINAL = "missing_original"
    MISSING_VARIANT = "missing_variant"
    SIZE_MISMATCH = "size_mismatch"
    EMPTY_BLOB = "empty_blob"
    STUCK_UPLOADING = "stuck_uploading"
    STUCK_PROCESSING = "stuck_processing"
    FAILED = "failed"
    ORPHAN_BLOB = "orphan_blob"
    ERASED_BUT_PRESENT = "erased_but_present"
    UNKNOWN_KEY = "unknown_key"
    CLASS_DRIFT = "class_drift"
    ARCHIVED_WITHOUT_VARIANTS = "archived_without_variants"
    STALE_RECIPE = "stale_recipe"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    UNLIKELY_DATE = "unlikely_date"
    VARIANT_DIFFERS = "variant_differs"


class Why(StrEnum):
    """The cause of a finding, for codes with more than one."""

    # stuck_processing
    NO_WORKER = "no_worker"
    LEASE_EXPIRED = "lease_expired"
    POISONED = "poisoned"
    WAITING_FOR_RESTORE = "waiting_for_restore"
    # stuck_uploading
    BYTES_SAFE = "bytes_safe"
    BYTES_MISSING = "bytes_missing"
    # missing_variant
    NOT_NAMED = "not_named"
    NOT_THERE = "not_there"
    # orphan_blob
    NO_ROW = "no_row"
    # erased_but_present
    CAME_BACK = "came_back"
    UNFINISHED = "unfinished"
    # unknown_key
    SHAPE = "shape"
    # unknown_key and orphan_blob
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One error of the archive, confirmed by a second lookup.

    `id` is None for a blob without a row; `key` is the blob's, even if the blob is missing, and None if only the row is
    wrong or has no key. For a variant whose blob exists but is not in the row (`not_named`) it is that blob's key.
    `role` is `original`, `thumb`, `medium` or `full`. `bytes` is the blob's size, or the original's if that is missing.
    """

    code: Code
    detail: str
    id: UUID | None = None
    key: str | None = None
    user_id: UUID | None = None
    uploaded_at: datetime | None = None
    promised_at: datetime | None = None
    modified_at: datetime | None = None
    role: str | None = None
    bytes: int | None = None
    why: Why | None = None

    def record(self) -> dict[str, str | int | None]:
        """Return every field as a JSON value, for a line of `--json`."""
        return {"type": "finding", **{name: plain(getattr(self, name)) for name in FIELDS}}


FIELDS = (
    "code", "why", "id", "key", "role", "bytes", "user_id", "uploaded_at", "promised_at", "modified_at", "detail",
)  # fmt: skip


def about(
    image: Image,
    code: Code,
    detail: str,
    *,
    role: str | None = None,
    key: str | None = None,
    why: Why | None = None,
    blob: Blob | None = None,
) -> Finding:
    """Return a finding about a row, and (`role`, `key`, `blob`) about one of its blobs."""
    return Finding(
        code=code,
        detail=detail,
        why=why,
        id=image.id,
        key=key,
        user_id=image.user_id,
        uploaded_at=image.uploaded_at,
        promised_at=image.promised_at,
        modified_at=blob.modified_at if blob else None,
        role=role,
        bytes=blob.size if blob else image.bytes if role in (None, ORIGINAL) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsFile:
    """A file of findings as `imgctl audit --json` prints them, one a line; other records are skipped. Can be read twice."""

    file: Path

    def __iter__(self) -> Iterator[Finding]:
        """Yield the findings, one in memory at a time; UsageError with the line number for an invalid line."""
        with usable(self.file, "check FINDINGS"):
            lines = self.file.open(encoding="utf-8", errors="replace")
        with lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield from self._finding(number, line)

    def _finding(self, number: int, line: str) -> Iterator[Finding]:
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise UsageError(
                f"{self.file}:{number} is not a finding", hint="use a file that imgctl audit --json printed"
            )
        if record.get("type") != "finding":
            return
        try:
            yield from_record(record)
        except UsageError as error:
            raise UsageError(f"{self.file}:{number}: {error.message}", hint=error.hint) from None


def from_record(record: object) -> Finding:
    """Parse a finding that `record` wrote; UsageError for anything else."""
    try:
        if not isinstance(record, dict):
            raise TypeError("not an object")
        size = record.get("bytes")
        texts = {
            name: parse(text)
            for name, parse in _PARSE.items()
            if isinstance(text := record.get(name), str) and (text or name == "detail")
        }
        return Finding(**{"detail": "", "bytes": size if isinstance(size, int) else None} | texts)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"not a finding of an audit: {str(error)[:200]}", hint="imgctl audit --json writes them"
        ) from None


_PARSE: Mapping[str, Callable[[str], object]] = {
    "code": Code,
    "why": Why,
    "id": UUID,
    "key": str,
    "role": str,
    "user_id": UUID,
    "uploaded_at": datetime.fromisoformat,
    "promised_at": datetime.fromisoformat,
    "modified_at": datetime.fromisoformat,
    "detail": str,
}
