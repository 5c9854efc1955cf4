"""What inserting a manifest will come to, told from its lines and the sizes of its first blobs."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from imgctl.errors import KeyShapeError
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.insert.entries import Entry
from imgctl.ops.insert.source import PIECE
from imgctl.pricing.card import Card
from imgctl.pricing.estimate import Estimate, insert_estimate
from imgctl.store.blobs.base import BlobStore
from imgctl.units import format_bytes

SAMPLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """How many blobs a manifest names, and how large those looked at are."""

    blobs: int
    sampled: int
    sampled_bytes: int

    @property
    def mean_bytes(self) -> int:
        """The average size of what was looked at."""
        return self.sampled_bytes // self.sampled if self.sampled else 0


def survey(entries: Iterable[Entry | FileOutcome], store: BlobStore) -> Survey:
    """Count a manifest's blobs, and HEAD the first hundred."""
    blobs = sampled = size = 0
    for entry in entries:
        if isinstance(entry, FileOutcome):
            continue
        blobs += 1
        if blobs <= SAMPLE:
            # A key that no store can hold is told when its turn comes.
            with suppress(KeyShapeError):
                found = store.head(entry.key)
                sampled += found is not None
                size += found.size if found else 0
    return Survey(blobs=blobs, sampled=sampled, sampled_bytes=size)


def estimate(card: Card, found: Survey) -> Estimate:
    """What inserting all of it costs at most: what is there already is neither read nor copied."""
    gets = max(1, -(-found.mean_bytes // PIECE))
    if gets > 1:
        # Metadata may lie behind the pixels: a look there before the pieces are read.
        gets += 1
    mean = f"blobs of {format_bytes(found.mean_bytes)} on average, by a sample of {found.sampled:,}"
    size = found.blobs * found.mean_bytes
    return insert_estimate(card, files=found.blobs, size=size, gets=gets, assumptions=(mean, "none of them there yet"))
