"""One schema for Postgres and SQLite: column types, the database's clock, and the tables.

SQLite keeps times as text `YYYY-MM-DD HH:MM:SS.ffffff` (UTC) and ids as text of 36 characters: both sort correctly
and are readable in the `sqlite3` shell.
"""

from datetime import UTC, datetime
from typing import ClassVar, TypeVar
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    and_,
    func,
    literal,
    literal_column,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from imgctl.model import ARCHIVE_CLASSES, IMAGE_COLUMNS, LOST, Status

T = TypeVar("T")

POSTGRES = "postgresql"
SQLITE = "sqlite"


def time_text(moment: datetime) -> str:
    """Format an aware time for SQLite: UTC, 26 characters, sortable; ValueError for a naive time."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; the catalog keeps aware times only")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


class UtcTime(TypeDecorator[datetime]):
    """An aware time, UTC when read back: TIMESTAMPTZ on Postgres, sortable text on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        if dialect.name == POSTGRES:
            from sqlalchemy.dialects.postgresql import TIMESTAMP

            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(26))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None:
            return None
        text = time_text(value)
        return value if dialect.name == POSTGRES else text

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return value.astimezone(UTC)


class Id(TypeDecorator[UUID]):
    """A UUID: native on Postgres, text of 36 characters on SQLite."""

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[UUID] | TypeEngine[str]:
        if dialect.name == POSTGRES:
            return dialect.type_descriptor(Uuid())
        return dialect.type_descriptor(String(36))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> UUID | str | None:
        return value if value is None or dialect.name == POSTGRES else str(value)

    def process_result_value(self, value: UUID | str | None, dialect: Dialect) -> UUID | None:
        return UUID(value) if isinstance(value, str) else value


class StatusText(TypeDecorator[Status]):
    """One of the four states, VARCHAR(20)."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Status | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Status | None:
        return None if value is None else Status(value)


def status_literal(status: Status) -> ColumnElement[Status]:
    """Return the state as a literal in the SQL: the planner uses a partial index only if it can see the predicate."""
    return literal(status, StatusText(), literal_execute=True)


class PerDatabase(FunctionElement[T]):
    """An SQL function with different syntax for each database; `{0}` is its argument."""

    inherit_cache = True
    postgres: ClassVar[str]
    sqlite: ClassVar[str]


@compiles(PerDatabase)
def _written(element: PerDatabase[object], compiler: SQLCompiler, **_: object) -> str:
    wording = element.sqlite if compiler.dialect.name == SQLITE else element.postgres
    return wording.format(compiler.process(element.clauses))


class now(PerDatabase[datetime]):  # noqa: N801 - reads like the SQL function it stands for
    """The time by the database's clock."""

    type = UtcTime()
    inherit_cache = True
    # Not now(), which is the start of the transaction: the lease would be too short.
    postgres = "statement_timestamp()"
    # %f has three decimal digits, stored times have six.
    sqlite = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


class now_plus(PerDatabase[datetime]):  # noqa: N801
    """The time by the database's clock, `seconds` from now."""

    type = UtcTime()
    inherit_cache = True
    postgres = "(statement_timestamp() + make_interval(secs => {0}))"
    sqlite = "(strftime('%Y-%m-%d %H:%M:%f', 'now', printf('%+.3f seconds', {0})) || '000')"

    def __init__(self, seconds: float | ColumnElement[float]) -> None:
        super().__init__(literal(float(seconds), Double()) if isinstance(seconds, int | float) else seconds)


class seconds_until(PerDatabase[float]):  # noqa: N801
    """The seconds from the database's clock to a time; negative for the past."""

    type = Double()
    inherit_cache = True
    postgres = "CAST(extract(epoch FROM {0} - statement_timestamp()) AS float)"
    sqlite = "((julianday({0}) - julianday('now')) * 86400.0)"


metadata = MetaData()


def digest(sha256: ColumnElement[bytes] | ColumnElement[bytes | None]) -> ColumnElement[bytes]:
    """The part of a SHA-256 that identifies a content; literal numbers, because parameters would prevent use of the index."""
    return func.substr(sha256, literal_column("1"), literal_column("16"), type_=LargeBinary())


# Wide fixed columns first, then narrow ones, then texts: Postgres needs no alignment padding.
images = Table(
    "images",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("uploaded_at", UtcTime, nullable=False),
    Column("bytes", BigInteger),
    Column("taken_at", UtcTime),
    Column("leased_until", UtcTime),
    Column("restored_until", UtcTime),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Attempts that were not the image's fault. `attempts` itself only ever grows: it is the fencing token.
    Column("forgiven", Integer, nullable=False, server_default=text("0")),
    Column("width", Integer),
    Column("height", Integer),
    Column("status", StatusText, nullable=False),
    Column("sha256", LargeBinary),
    Column("content_type", Text),
    Column("recipe", CHAR(8)),
    Column("storage_class", Text),
    Column("original_key", String(255)),
    Column("thumb_key", String(255)),
    Column("medium_key", String(255)),
    Column("full_key", String(255)),
    Column("caption", Text),
    Column("error", Text),
    # Last, because Postgres appends new columns. The time of the insert, by the database's clock:
    Column("promised_at", UtcTime, nullable=False, server_default=now()),
    # The uploaded file's name, at most 255 bytes.
    Column("name", Text),
    CheckConstraint(f"status IN ({', '.join(repr(status.value) for status in Status)})", name="ck_status"),
)

Index("idx_user_recent", images.c.user_id, images.c.uploaded_at.desc())
# Half a SHA-256 identifies a content as surely and keeps the index a third smaller; NULLs never conflict.
Index("uq_user_digest", images.c.user_id, digest(images.c.sha256), unique=True)
Index("idx_claimable", images.c.id)
Index("idx_failed", images.c.id)

# Erased images. The row is deleted from `images` in the same transaction, so that no listing, link, queue or lease holder
# finds it. `notes` (JSON) holds the keys of the row, the blobs found and the id of the owner's HMAC key, which alone
# stays at the end.
erased = Table(
    "erased",
    metadata,
    Column("id", Id, primary_key=True),
    Column("erasing_since", UtcTime, nullable=False, server_default=now()),
    # After this time no lease on the row and no pending put of its original can exist.
    Column("settles_at", UtcTime, nullable=False),
    Column("erased_at", UtcTime),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("blobs", Integer, nullable=False, server_default=text("0")),
    # HMAC-SHA256 of the user's id.
    Column("owner", LargeBinary, nullable=False),
    Column("notes", Text),
)
Index("idx_erased_owner", erased.c.owner, erased.c.id)
Index("idx_erasing", erased.c.id)

COLUMNS = tuple(images.c[name] for name in IMAGE_COLUMNS)
"""The columns of `Image`."""
SAFE = images.c.status != status_literal(Status.UPLOADING)
"""Condition for rows whose original is safe in the store."""


def is_lost() -> ColumnElement[bool]:
    """Condition for failed images whose original is known to be gone from the store."""
    return and_(in_status(Status.FAILED), func.coalesce(images.c.error, "").startswith(LOST))


def in_status(*statuses: Status) -> ColumnElement[bool]:
    """Condition for rows with one of these states, as literals that the planner can see."""
    first, *others = map(status_literal, statuses)
    return images.c.status.in_([first, *others]) if others else images.c.status == first


def archived(storage_class: ColumnElement[str] | ColumnElement[str | None]) -> ColumnElement[bool]:
    """Whether a storage class must be restored before it is read; null for a null, which is STANDARD."""
    return storage_class.in_([literal_column(f"'{name}'") for name in ARCHIVE_CLASSES])
