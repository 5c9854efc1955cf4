"""How many originals a look at metadata reads, and what that costs: asked of the catalog before anything is read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from imgctl.imaging.formats import KNOWN, Format
from imgctl.imaging.source import REMOTE_BYTES
from imgctl.model import is_archived
from imgctl.ops.backfill.metadata import MetadataOrder
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import pages
from imgctl.pricing.card import Card
from imgctl.pricing.estimate import Estimate, Reads, reading_estimate
from imgctl.pricing.prices import STANDARD
from imgctl.store.catalog.aggregates import tally
from imgctl.store.catalog.backfill import incomplete
from imgctl.store.catalog.schema import images
from imgctl.units import format_bytes

# These keep metadata behind their pixels, which is a second read.
_READ_TWICE = frozenset(KNOWN[kind].content_type for kind in (Format.PNG, Format.WEBP, Format.TIFF, Format.GIF))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Originals to be looked at, by class; `archived` ones are counted and left."""

    reads: dict[str, Reads]
    archived: int

    @property
    def originals(self) -> int:
        """How many are read."""
        return sum(one.originals for one in self.reads.values())


def reading(order: MetadataOrder, parts: Parts, *, stop: StopSignal) -> Reading:
    """Count the rows that are wanted; a shard is taken to be its share of them."""
    archived, reads = 0, dict[str, Reads]()
    for storage_class, content_type, count in _counts(order, parts, stop):
        if is_archived(storage_class):
            archived += count
            continue
        gets = count * (2 if content_type in _READ_TWICE else 1)
        name = storage_class or STANDARD
        one = reads.get(name, Reads())
        reads[name] = Reads(originals=one.originals + count, gets=one.gets + gets, size=one.size + gets * REMOTE_BYTES)
    return Reading(reads=reads, archived=archived)


def price(card: Card, found: Reading) -> Estimate:
    """What reading costs at most."""
    words = f"{format_bytes(REMOTE_BYTES)} a read, two reads of each PNG, WebP, TIFF and GIF"
    return reading_estimate(card, found.reads, assumptions=(words,))


def _counts(order: MetadataOrder, parts: Parts, stop: StopSignal) -> Iterator[tuple[str | None, str | None, int]]:
    counted: Counter[tuple[str | None, str | None]] = Counter()
    if order.chosen.ids_from is not None:
        for page in pages(parts.catalog, order.chosen, stop=stop):
            counted.update((one.storage_class, one.content_type) for one in page if order.wants(one))
        yield from ((*key, count) for key, count in counted.items())
        return
    where = incomplete(order.overwrite) & (images.c.id > order.after)
    with parts.catalog.read() as connection:
        found = tally(connection, order.chosen.scope, by=(images.c.storage_class, images.c.content_type), where=where)
    share = order.shard.count if order.shard else 1
    yield from ((key[0], key[1], -(-count // share)) for key, count in found)
