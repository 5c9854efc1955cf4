"""`imgctl backfill --metadata`: the cost of reading, the sidecars of a source tree, and the run over the rows."""

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Self
from uuid import UUID

from imgctl.imaging.formats import KNOWN, Format, Kind
from imgctl.imaging.source import REMOTE_BYTES
from imgctl.model import Image, is_archived
from imgctl.ops.backfill.checkpoint import Checkpoint
from imgctl.ops.backfill.metadata import Fate, MetadataOrder, Outcome, Reader
from imgctl.ops.common.checkpoint import state_file
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read, write
from imgctl.ops.common.rows import BadId, pages
from imgctl.ops.common.tally import Tally
from imgctl.ops.ingest.outcome import Fate as FileFate
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import SIDECAR_NAMES
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.local import unreadable
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.options import Selection
from imgctl.pricing.estimate import Estimate, Reads, reading_estimate
from imgctl.pricing.prices import STANDARD, Card
from imgctl.regular_files import regular
from imgctl.run.threads import thread_pool
from imgctl.store.catalog.queries.aggregates import tally
from imgctl.store.catalog.queries.backfill import FACT_COLUMNS, Fact, Metadata, incomplete, write_metadata
from imgctl.store.catalog.queries.lookups import clock
from imgctl.store.catalog.schema import images
from imgctl.units import format_bytes

BATCH = 64
CONCURRENCY = 16

# These keep metadata after their pixels, which takes a second read. A crafted or an odd file may take up to MOST_REMOTE more.
_BEHIND = (Format.PNG, Format.WEBP, Format.TIFF, Format.GIF)
_READ_TWICE = frozenset(
    known.content_type for kind, known in KNOWN.items() if kind in _BEHIND or known.kind is not Kind.PICTURE
)
_NO_OWNER = UUID(int=0)
_SCHEMA = "CREATE TABLE photos (sha256 BLOB PRIMARY KEY, path BLOB NOT NULL) WITHOUT ROWID"


class MetadataRun:
    """One run. `checkpoint.resumed` is the progress of an earlier run of the same kind; `bad` are lines without a row.

    `tally` counts rows, with the bytes of their originals; `facts` the changes; `unreadable` files of the source tree.
    """

    def __init__(self, order: MetadataOrder, parts: Parts, *, pool: Executor, stop: StopSignal, anew: bool) -> None:
        self.bad: list[BadId] = []
        self.tally = Tally(Fate)
        self.facts: Counter[Fact] = Counter()
        self.unreadable = 0
        self.checkpoint = Checkpoint(_checkpoint_file(order, parts), anew=anew)
        self.sidecars = Sidecars() if order.sidecars_from else None
        self._order = order
        self._parts = parts
        self._stop = stop
        files = self.sidecars.files if self.sidecars else None
        self._reader = Reader(order=order, store=parts.store, sidecars=files, stop=stop)
        self._pool = pool
        self._after = self.checkpoint.resumed.after

    def index(self) -> Iterator[FileOutcome]:
        """Find the photos of the source tree that have sidecars; yields unreadable files."""
        if self.sidecars is not None and self._order.sidecars_from is not None:
            for one in self.sidecars.add(self._order.sidecars_from, stop=self._stop):
                self.unreadable += 1
                yield one

    def outcomes(self, *, limit: int | None = None) -> Iterator[Outcome]:
        """Examine the wanted rows, `limit` at most; raises the error that ends the whole run."""
        wanted = islice(self._wanted(), limit)
        left, is_whole = limit, False
        while not (self._stop.is_set() or is_whole or left == 0):
            batch = list(islice(wanted, BATCH))
            left = None if left is None else left - len(batch)
            if batch:
                yield from self._settle(batch)
            else:
                is_whole = not self._stop.is_set()
        self.checkpoint.end(self._after, whole=is_whole)

    def _wanted(self) -> Iterator[Image]:
        order, where = self._order, incomplete(self._order.overwrite)
        found = pages(self._parts.catalog, order.chosen, stop=self._stop, after=self._after, where=where, bad=self.bad)
        return (image for image in chain.from_iterable(found) if order.wants(image))

    def _settle(self, batch: Sequence[Image]) -> Iterator[Outcome]:
        """Read a batch in parallel, write it in one transaction, and record the progress."""
        now = read(self._parts.catalog, clock, stop=self._stop)
        paths = [self.sidecars.path_of(image.sha256) if self.sidecars else None for image in batch]
        looked = list(self._pool.map(partial(self._reader.look, now), batch, paths))
        new = [one.found for one in looked if one.found is not None]
        kept = self._write(new) if new and self._order.writes else None
        outcomes = [one.settled(kept) for one in looked]
        self.checkpoint.count(
            failed=sum(one.fate is Fate.FAILED for one in outcomes),
            cold=sum(one.fate is Fate.NEEDS_RESTORE for one in outcomes),
        )
        self._after = batch[-1].id
        self.checkpoint.save(self._after)
        for one in outcomes:
            self.tally.count(one.fate, size=one.size)
            self.facts.update(fact for fact, names in FACT_COLUMNS.items() if one.changes.keys() & set(names))
            yield one

    def _write(self, new: Sequence[Metadata]) -> dict[UUID, Metadata]:
        statement = partial(write_metadata, found=new, overwrite=self._order.overwrite)
        return write(self._parts.catalog, statement, stop=self._stop)


@contextmanager
def metadata_run(order: MetadataOrder, parts: Parts, *, stop: StopSignal, anew: bool = False) -> Iterator[MetadataRun]:
    """Open a run that yields outcomes; `anew` starts at the first row and ignores an earlier run's progress."""
    with thread_pool(CONCURRENCY, name="metadata") as pool:
        run = MetadataRun(order, parts, pool=pool, stop=stop, anew=anew)
        with run.sidecars or nullcontext():
            yield run


def _checkpoint_file(order: MetadataOrder, parts: Parts) -> Path | None:
    if order.chosen.ids_from is not None or not order.writes:
        return None
    # Sorted, because a set has no fixed order.
    facts = ",".join(sorted(order.overwrite))
    kind = (facts, order.chosen, order.sidecars_from, order.shard, order.reads)
    return state_file("metadata", (parts.catalog.place, parts.settings.store.url, repr(kind)))


class Sidecars:
    """Photos of a source tree with a sidecar, by the SHA-256 of their content, in a file that is deleted with this process.

    Only files with a sidecar are hashed. For the thread that created it only; `files` is for any thread.
    """

    def __init__(self) -> None:
        self.files = SidecarFiles()
        self.photos = 0
        # A nameless database: SQLite keeps it in a private temporary file.
        self._connection = sqlite3.connect("")
        self._connection.execute(_SCHEMA)

    def add(self, directory: str, *, stop: StopSignal) -> Iterator[FileOutcome]:
        """Walk a tree; yields unreadable files."""
        with closing(Sources()) as sources:
            for found in chosen(Selection(paths=(directory,), user_id=_NO_OWNER), sources):
                if stop.is_set():
                    return
                if isinstance(found, FileOutcome):
                    if found.fate is FileFate.FAILED:
                        yield found
                elif not found.path.lower().endswith(SIDECAR_NAMES) and self.files.describes(found.path):
                    try:
                        self._add(found)
                    except OSError as error:
                        yield unreadable(found.path, error)

    def path_of(self, sha256: bytes | None) -> str | None:
        """Return the path of a photo with this content, the first one found; None if there is none."""
        row = self._connection.execute("SELECT path FROM photos WHERE sha256 = ?", (sha256,)).fetchone()
        return os.fsdecode(row[0]) if row else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _add(self, found: SourceFile) -> None:
        with open(found.path, "rb", opener=regular) as file:  # a str keeps bytes that are no UTF-8
            digest = hashlib.file_digest(file, "sha256").digest()
        values = (digest, os.fsencode(found.path))
        self.photos += self._connection.execute("INSERT OR IGNORE INTO photos VALUES (?, ?)", values).rowcount


def reading(order: MetadataOrder, parts: Parts, *, after: UUID, stop: StopSignal) -> tuple[int, Mapping[str, Reads]]:
    """Return how many originals after `after` are wanted, and the reads they need, by class; archived ones are left out.

    A shard is estimated at its share of the total.
    """
    counted, share = Counter[tuple[str | None, ...]](), 1
    if order.chosen.ids_from is not None:
        for page in pages(parts.catalog, order.chosen, stop=stop):
            counted.update((one.storage_class, one.content_type) for one in page if order.wants(one))
    else:
        by = (images.c.storage_class, images.c.content_type)
        with parts.catalog.read() as connection:
            where = incomplete(order.overwrite) & (images.c.id > after)
            counted.update(dict(tally(connection, order.chosen.scope, by=by, where=where)))
        share = order.shard.count if order.shard else 1
    reads = dict[str, Reads]()
    for (storage_class, content_type), rows in counted.items():
        if is_archived(storage_class):
            continue
        count = -(-rows // share)
        gets = count * (2 if content_type in _READ_TWICE else 1)
        name = storage_class or STANDARD
        one = reads.get(name, Reads())
        reads[name] = Reads(originals=one.originals + count, gets=one.gets + gets, size=one.size + gets * REMOTE_BYTES)
    return sum(one.originals for one in reads.values()), reads


def price(card: Card, reads: Mapping[str, Reads]) -> Estimate:
    """Return the usual cost of reading; a few files need more reads."""
    words = f"{format_bytes(REMOTE_BYTES)} a read, two reads of each PNG, WebP, TIFF, GIF, raw and film"
    return reading_estimate(card, reads, assumptions=(words,))
