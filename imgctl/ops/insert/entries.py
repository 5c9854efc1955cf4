"""The entries of an insert manifest, and the estimated cost of inserting them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from imgctl.errors import KeyShapeError, usable
from imgctl.keys import is_utf8, parse_key
from imgctl.model import Sized
from imgctl.ops.common.range_reads import CHUNK_BYTES
from imgctl.ops.common.tally import Totals
from imgctl.ops.ingest.manifest import BadLine, Row, owner_and_date, rows
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.pricing.estimate import Estimate, insert_estimate
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import BlobStore
from imgctl.units import format_bytes
from imgctl.users import UUIDS_ONLY, Users

# The number of blobs whose size the survey looks up.
SAMPLE = 100
_REQUIRED = frozenset(("key", "user_id"))
_OPTIONAL = frozenset(("caption", "uploaded_at", "name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a manifest: a key below the store's url; `uploaded_at` is aware UTC to the millisecond."""

    key: str
    user_id: UUID
    caption: str | None = None
    name: str | None = None
    uploaded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest file; its keys are relative to the store's url and may not be below the `own_prefixes` of imgctl."""

    file: Path
    store_url: str
    own_prefixes: tuple[str, ...]
    users: Users = UUIDS_ONLY

    def entries(self) -> Iterator[Entry | FileOutcome]:
        """Yield every line in order; a key may also be a full `s3://bucket/…` url. Raises UsageError."""
        with usable(f"manifest {self.file}", "check the path"):
            file = self.file.open("rb")
        with file:
            yield from self._entries(file)

    def _entries(self, file: BinaryIO) -> Iterator[Entry | FileOutcome]:
        for number, row in rows(file, required=_REQUIRED, optional=_OPTIONAL):
            found = row if isinstance(row, BadLine) else self._entry(row)
            if isinstance(found, BadLine):
                place = f"{self.file}:{number}"
                yield FileOutcome.failed(place, Reason.BAD_LINE, found.detail)
            elif any(_is_own(found.key, prefix) for prefix in self.own_prefixes):
                yield FileOutcome.skipped(found.key, Reason.OWN_BLOB, "is a blob of imgctl's own layout, not a source")
            else:
                yield found

    def _entry(self, row: Row) -> Entry | BadLine:
        found = owner_and_date(row, self.users)
        if isinstance(found, BadLine):
            return found
        key = row["key"].removeprefix(f"{self.store_url.rstrip('/')}/")
        if not key or not is_utf8(key):
            return BadLine(detail=f"key {row['key']!r} is empty or not UTF-8")
        user_id, uploaded_at = found
        assert user_id is not None
        return Entry(
            key=key, user_id=user_id, caption=row.get("caption"), name=row.get("name"), uploaded_at=uploaded_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The number of blobs in a manifest, and a `sample` of them, by class."""

    blobs: int
    sample: Totals[str]

    @property
    def sampled(self) -> int:
        """The number of blobs in the sample."""
        return self.sample.whole.objects

    @property
    def mean_bytes(self) -> int:
        """The average size of the sample, in bytes."""
        return self.sample.whole.size // self.sampled if self.sampled else 0

    @property
    def by_class(self) -> dict[str, Sized]:
        """All blobs by class, if the others are like the sample."""
        return {
            name: Sized(objects=self.blobs * one.objects // self.sampled, size=self.blobs * one.size // self.sampled)
            for name, one in self.sample.items()
        }


def survey(entries: Iterable[Entry | FileOutcome], store: BlobStore) -> Survey:
    """Count a manifest's blobs, and HEAD the first SAMPLE of them."""
    blobs, sample = 0, Totals[str]()
    for entry in entries:
        if isinstance(entry, FileOutcome):
            continue
        blobs += 1
        if blobs <= SAMPLE:
            # The insert reports invalid keys.
            with suppress(KeyShapeError):
                if found := store.details(entry.key):
                    sample.add(found.storage_class, found.size)
    return Survey(blobs=blobs, sample=sample)


def estimate(card: Card, found: Survey) -> Estimate:
    """Estimate the cost of inserting a manifest, by the sample, as if none of its blobs were inserted already."""
    gets = max(1, -(-found.mean_bytes // CHUNK_BYTES))
    if gets > 1:
        # One more request, because metadata may be behind the pixels.
        gets += 1
    mean = f"blobs of {format_bytes(found.mean_bytes)} on average, by a sample of {found.sampled:,}"
    size = found.blobs * found.mean_bytes
    assumptions = (mean, "none of them there yet")
    return insert_estimate(
        card, files=found.blobs, size=size, gets=gets, sources=found.by_class, assumptions=assumptions
    )


def _is_own(key: str, prefix: str) -> bool:
    try:
        parse_key(key, prefix=prefix)
    except KeyShapeError:
        return False
    return True
