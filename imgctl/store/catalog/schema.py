"""The tables: one schema for Postgres and SQLite."""

from sqlalchemy import (
    CHAR,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    literal_column,
    text,
)

from imgctl.model import Status
from imgctl.store.catalog.names import POSTGRES, SQLITE
from imgctl.store.catalog.types import Id, StatusText, UtcTime, now

# Every image is updated three times and then hardly ever again: vacuum after that many rows, not after a fifth of them.
STORAGE = {
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 20000,
    "autovacuum_analyze_scale_factor": 0.02,
}

metadata = MetaData()


def digest(sha256: ColumnElement[bytes] | ColumnElement[bytes | None]) -> ColumnElement[bytes]:
    """The part of a SHA-256 that tells contents apart; numbers stand in the SQL, or the index would not be used."""
    return func.substr(sha256, literal_column("1"), literal_column("16"), type_=LargeBinary())


# Wide fixed columns first, then narrow, then texts: Postgres aligns a row without holes.
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
    # When the row was written, by the database's clock. Last, because Postgres adds a column behind all others.
    Column("promised_at", UtcTime, nullable=False, server_default=now()),
    CheckConstraint(f"status IN ({', '.join(repr(status.value) for status in Status)})", name="ck_status"),
)

Index("idx_user_recent", images.c.user_id, images.c.uploaded_at.desc())
# Half a SHA-256 tells contents apart as surely and keeps the index a third smaller; NULLs never conflict.
Index("uq_user_digest", images.c.user_id, digest(images.c.sha256), unique=True)
_claimable = Index("idx_claimable", images.c.id)


def whole_metadata() -> MetaData:
    """The tables with what each dialect says of them beside: for migrations alone, as each dialect is slow to import."""
    processing = text(f"status = '{Status.PROCESSING}'")
    for dialect in (POSTGRES, SQLITE):
        _claimable.dialect_options[dialect]["where"] = processing
    images.dialect_options[POSTGRES]["with"] = STORAGE
    return metadata
