"""What images look like: written when they turn ready, and compared by those who look for near-duplicates."""

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

# 64 bits each, written where `[find] near` asks for it. A trigger deletes it with the image's row.
fingerprints = Table(
    "fingerprints",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("id", Id, primary_key=True),
    Column("hash", BigInteger, nullable=False),
)

MOST_NEAR = 1000
"""How many near-duplicates are found at most, the nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What an image looks like, as a signed number of 64 bits."""

    id: UUID
    hash: int


class differing_bits(PerDatabase[int]):  # noqa: N801 - reads like an SQL function
    """In how many bits two numbers of 64 bits differ."""

    type = Integer()
    inherit_cache = True
    postgres = "bit_count(CAST(int8xor({0}) AS bit(64)))"
    sqlite = "imgctl_differing_bits({0})"


def keep(connection: Connection, found: Iterable[Fingerprint]) -> None:
    """Note what images look like whose rows there are; a later one takes an earlier one's place."""
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
    # Locked: a row that is erased meanwhile gets none.
    return insert(fingerprints).from_select(["user_id", "id", "hash"], new.with_for_update(of=images))


def nearest(connection: Connection, user_id: UUID | None, looks: int, *, distance: int) -> dict[UUID, int]:
    """The images that differ in at most `distance` bits, by how many: of one user, or of all. Every one is compared."""
    bits = differing_bits(fingerprints.c.hash, literal(looks, BigInteger()))
    query = select(fingerprints.c.id, bits.label("bits")).where(bits <= distance)
    if user_id is not None:
        query = query.where(fingerprints.c.user_id == user_id)
    rows = connection.execute(query.order_by(bits, fingerprints.c.id.desc()).limit(MOST_NEAR))
    return {row.id: int(row.bits) for row in rows}
