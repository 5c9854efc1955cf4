"""What an audit finds: the codes, and one finding as a record that travels as NDJSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from imgctl.errors import UsageError


class Code(StrEnum):
    """What can be wrong; the names are stable."""

    MISSING_ORIGINAL = "missing_original"
    MISSING_VARIANT = "missing_variant"
    SIZE_MISMATCH = "size_mismatch"
    EMPTY_BLOB = "empty_blob"
    STUCK_UPLOADING = "stuck_uploading"
    STUCK_PROCESSING = "stuck_processing"
    FAILED = "failed"
    ORPHAN_BLOB = "orphan_blob"
    UNKNOWN_KEY = "unknown_key"
    CLASS_DRIFT = "class_drift"
    ARCHIVED_WITHOUT_VARIANTS = "archived_without_variants"
    STALE_RECIPE = "stale_recipe"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    UNLIKELY_DATE = "unlikely_date"
    VARIANT_DIFFERS = "variant_differs"


class Why(StrEnum):
    """Which of several causes a code has; not every code has more than one."""

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
    # unknown_key
    SHAPE = "shape"
    # unknown_key and orphan_blob
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, as it was when it was looked at a second time.

    `id` is None for a blob that no row stands for; `key` is the blob in question, also where it is missing, and None
    where the row alone is wrong or names none. A variant whose blob is there but unnamed (`not_named`) has that
    blob's key. `role` is `original`, `thumb`, `medium` or `full`. `bytes` is the blob's size, or that of the original
    where it is missing.
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
        """Every field as JSON knows it, for a line of `--json`."""
        return {
            "type": "finding",
            "code": self.code.value,
            "why": self.why.value if self.why else None,
            "id": str(self.id) if self.id else None,
            "key": self.key,
            "role": self.role,
            "bytes": self.bytes,
            "user_id": str(self.user_id) if self.user_id else None,
            "uploaded_at": _text(self.uploaded_at),
            "promised_at": _text(self.promised_at),
            "modified_at": _text(self.modified_at),
            "detail": self.detail,
        }


FIELDS = (
    "code", "why", "id", "key", "role", "bytes", "user_id", "uploaded_at", "promised_at", "modified_at", "detail",
)  # fmt: skip


def from_record(record: Mapping[str, object]) -> Finding:
    """The finding that `record` wrote; UsageError for anything else."""
    try:
        size = record.get("bytes")
        return Finding(
            code=Code(_word(record, "code") or ""),
            why=Why(why) if (why := _word(record, "why")) else None,
            id=UUID(text) if (text := _word(record, "id")) else None,
            key=_word(record, "key"),
            role=_word(record, "role"),
            bytes=size if isinstance(size, int) else None,
            user_id=UUID(text) if (text := _word(record, "user_id")) else None,
            uploaded_at=_moment(record, "uploaded_at"),
            promised_at=_moment(record, "promised_at"),
            modified_at=_moment(record, "modified_at"),
            detail=_word(record, "detail") or "",
        )
    except ValueError as error:
        raise UsageError(f"no finding of an audit: {error}", hint="imgctl audit --json writes them") from None


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(record: Mapping[str, object], name: str) -> datetime | None:
    text = _word(record, name)
    return datetime.fromisoformat(text) if text else None


def _word(record: Mapping[str, object], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value else None
