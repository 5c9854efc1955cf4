"""Rows drawn at random, each as likely as any other, without reading the table: by places in it, most of which are tried."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, text

from imgctl.model import Image, Status
from imgctl.store.catalog.lookups import by_ids
from imgctl.store.catalog.names import SQLITE
from imgctl.store.catalog.schema import images

# The most rows a page of 8 KiB of Postgres can hold (MaxHeapTuplesPerPage): whichever slot a row has, it can be drawn.
_SLOTS = 291
_BATCH = 500
_OF_POSTGRES = text("SELECT id FROM images WHERE ctid = ANY(CAST(:places AS tid[]))").columns(images.c.id)
_OF_SQLITE = text("SELECT id FROM images WHERE rowid IN :places").bindparams(bindparam("places", expanding=True))
_BLOCKS = text("SELECT pg_relation_size('images') / current_setting('block_size')::int")
_ROWIDS = text("SELECT coalesce(max(rowid), 0) FROM images")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Every place of the table that may hold a row: `blocks` of `slots` each. A row lies in exactly one."""

    blocks: int
    slots: int

    def __len__(self) -> int:
        return self.blocks * self.slots


def places(connection: Connection) -> Places:
    """The places of the table as it is now; cheap, whatever its size."""
    if connection.dialect.name == SQLITE:
        return Places(blocks=int(connection.execute(_ROWIDS).scalar_one()), slots=1)
    return Places(blocks=int(connection.execute(_BLOCKS).scalar_one()), slots=_SLOTS)


def drawn(connection: Connection, found: Places, draw: random.Random) -> list[Image]:
    """The ready rows at 500 places drawn at random, in the order drawn; fewer by far than 500 where places are empty.

    Each place is as likely as any other, and so is each row: neither its age, nor its id, nor its neighbours count.
    """
    if not len(found):
        return []
    numbers = list(dict.fromkeys(draw.randrange(len(found)) for _ in range(_BATCH)))
    if connection.dialect.name == SQLITE:
        rows = connection.execute(_OF_SQLITE.columns(images.c.id), {"places": [number + 1 for number in numbers]})
    else:
        tids = [f"({number // found.slots},{number % found.slots + 1})" for number in numbers]
        rows = connection.execute(_OF_POSTGRES, {"places": tids})
    ids: Sequence[UUID] = rows.scalars().all()
    ready = [image for image in by_ids(connection, ids).values() if image.status is Status.READY]
    # The database answers in an order of its own, of which a caller that stops early would see the beginning only.
    ready.sort(key=lambda image: image.id)
    draw.shuffle(ready)
    return ready
