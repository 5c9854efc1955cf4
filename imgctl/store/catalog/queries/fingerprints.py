"""Perceptual fingerprints of images: written when images turn ready, compared to find near-duplicates."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    FromClause,
    Insert,
    Integer,
    Table,
    Update,
    exists,
    insert,
    literal,
    select,
    update,
)

from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import Id, PerDatabase, images, metadata

# 64 bits each, written if `[find] near` is set. A trigger deletes a fingerprint with the image's row.
fingerprints = Table(
    "fingerprints",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("id", Id, primary_key=True),
    Column("hash", BigInteger, nullable=False),
)

MOST_NEAR = 1000
"""The maximum number of near-duplicates returned, nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The fingerprint of an image as a signed 64-bit number."""

    id: UUID
    hash: int


class differing_bits(PerDatabase[int]):  # noqa: N801 - reads like an SQL function
    """The number of differing bits of two 64-bit numbers."""

    type = Integer()
    inherit_cache = True
    postgres = "bit_count(CAST(int8xor({0}) AS bit(64)))"
    sqlite = "imgctl_differing_bits({0})"


def keep(connection: Connection, found: Iterable[Fingerprint]) -> None:
    """Write the fingerprints of existing images; a new one replaces an older one."""
    noted = list(found)
    if noted:
        batch.run(connection, _replace, Fingerprint, noted)
        batch.run(connection, _add, Fingerprint, noted)


def _replace(rows: FromClause) -> Update:
    same = (fingerprints.c.user_id == images.c.user_id, fingerprints.c.id == images.c.id)
    return update(fingerprints).where(images.c.id == rows.c.id, *same).values(hash=rows.c.hash)


def _add(rows: FromClause) -> Insert:
    absent = ~exists().where(fingerprints.c.user_id == images.c.user_id, fingerprints.c.id == images.c.id)
    new = select(images.c.user_id, images.c.id, rows.c.hash).join(rows, images.c.id == rows.c.id).where(absent)
    # Locked, so that an image erased meanwhile gets no fingerprint.
    return insert(fingerprints).from_select(["user_id", "id", "hash"], new.with_for_update(of=images))


def nearest(connection: Connection, user_id: UUID | None, looks: int, *, distance: int) -> dict[UUID, int]:
    """Return images that differ in at most `distance` bits, with that number: of one user, or of all. Compares every row."""
    bits = differing_bits(fingerprints.c.hash, literal(looks, BigInteger()))
    query = select(fingerprints.c.id, bits.label("bits")).where(bits <= distance)
    if user_id is not None:
        query = query.where(fingerprints.c.user_id == user_id)
    rows = connection.execute(query.order_by(bits, fingerprints.c.id.desc()).limit(MOST_NEAR))
    return {row.id: int(row.bits) for row in rows}
