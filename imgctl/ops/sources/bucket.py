"""A bucket as a source: listed page by page, each object read by one request, sidecars found among the keys listed last."""

import re
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock

from imgctl.dates import EPOCH
from imgctl.errors import BlobArchived, BlobMissing, StoreError
from imgctl.model import is_archived
from imgctl.ops.common.retry import Failures
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import SIDECAR_NAMES, Recogniser
from imgctl.ops.ingest.sidecar import Listing, SidecarFiles
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources.base import (
    Read,
    Rules,
    SourceFile,
    Stat,
    is_streamed,
    not_spooled,
    of_bytes,
    of_pieces,
    own_store,
)
from imgctl.ops.sources.members import stamp_of
from imgctl.ops.sources.walk import Branches
from imgctl.store.blobs.listing_pages import Page, Restored
from imgctl.store.blobs.source_buckets import Elsewhere, Got

# Pages listed ahead before a file of the first is read: a sidecar is named like its photo, so its key is near.
AHEAD = 3
# The most sidecars whose bytes are kept; the largest that is kept, and that is read, in bytes.
_MOST_KEPT, _LONGEST_KEPT, _LONGEST_READ = 512, 64 * 2**10, 2**20
_FAILURES = 32
# The most sidecar names that are kept: of keys before and after the objects being read.
_MOST_NAMES, _MOST_LISTINGS = 20_000, 512
# Takeout truncates the names of its files, but not before this many characters.
_SHARED = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Small:
    """A small object; its bytes are empty if it is too large."""

    size: int
    etag: str
    data: bytes


class BucketFiles:
    """The objects of a bucket below a prefix; reports show `root` before each key. See Source.

    `own` is the prefix of imgctl's own store in it, whose blobs are left out; None if the store is elsewhere. `singly`:
    the files come from a list, and the sidecars of each are looked up by name.
    """

    spools = True

    def __init__(
        self, bucket: Elsewhere, spools: SpoolDirectory, *, root: str, own: str | None = None, singly: bool = False
    ) -> None:
        self.root = root
        self.sidecars = SidecarFiles(BesideOne(self) if singly else BesideKeys(self))
        self.names = NameWindow()
        self._bucket = bucket
        self._spools = spools
        self._own = own
        self._failures = Failures(_FAILURES)
        self._lock = Lock()
        self._kept: OrderedDict[str, Future[_Small | None]] = OrderedDict()

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Yield files in listing order; a failed listing is one outcome, whose path is the bucket."""
        branches = Branches(self.root, rules)
        own_reported = False
        try:
            for page in self._ahead():
                for at, key in enumerate(page.keys):
                    if self._own is not None and key.startswith(self._own):
                        if not own_reported:
                            own_reported = True
                            yield own_store(self.root + self._own)
                    elif not (key.endswith("/") and not page.sizes[at]):
                        # Not an empty object whose key ends in a slash: consoles create these as folders.
                        yield from self._entry(page, at, branches, rules)
        except StoreError as error:
            yield failed(self.root, error)

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        try:
            read = self._read_small(found, recogniser) or self._read(found, recogniser)
        except StoreError as error:
            self._record_failure(error)
            return failed(found.path, error, size=found.size)
        except OSError as error:
            return not_spooled(found.path, error)
        self._failures.record(None)
        return read

    def look(self, key: str) -> Stat | FileOutcome:
        """Return the metadata of one key; an outcome if it doesn't exist or cannot be read."""
        path = self.root + key
        try:
            blob = self._bucket.head(key)
        except StoreError as error:
            self._record_failure(error)
            return failed(path, error)
        self._failures.record(None)
        if self._own is not None and key.startswith(self._own):
            return own_store(path)
        if blob is None:
            return FileOutcome.failed(path, Reason.NOT_FOUND, "the key does not exist; check it")
        if not blob.readable:
            return _archived(path, blob.storage_class, blob.size)
        return self._stat(key, blob.size, blob.modified_at, blob.etag)

    def identity(self, found: SourceFile) -> bytes:
        bucket = self._bucket
        return f"{bucket.endpoint}\0{bucket.bucket}\0{bucket.prefix}{found.place}".encode(errors="surrogatepass")

    def forget(self) -> None:
        """Read sidecars again: a key of an inbox may be used again."""
        self.sidecars.forget()
        with self._lock:
            self._kept.clear()

    def small(self, key: str) -> _Small | None:
        """Return a small object; None if it doesn't exist.

        Cached, because a sidecar is read for its photo and again when it is listed itself.
        """
        with self._lock:
            known = self._kept.get(key)
            result = self._kept[key] = known or Future()
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        if known is None:
            try:
                result.set_result(self._bucket.read(key, _small))
            except BlobMissing:
                result.set_result(None)
            except BaseException as error:
                self._forget(key)
                result.set_exception(error)
                raise
        found = result.result()
        if found is not None and len(found.data) > _LONGEST_KEPT:
            self._forget(key)
        return found

    def _record_failure(self, error: StoreError) -> None:
        """Count a failure; raise the error if it ends the run."""
        self._failures.record(error)
        if self._failures.over is not None:
            raise error

    def _stat(self, key: str, size: int, modified_at: datetime, etag: str) -> Stat:
        mtime_ns = (modified_at - EPOCH) // timedelta(microseconds=1) * 1000
        return Stat(size, mtime_ns, stamp_of(etag), self, place=key, pinned=bool(etag))

    def starting(self, prefix: str) -> Listing:
        """List the sidecars on the first page of keys with this prefix."""
        listing = Listing()
        for page in islice(self._bucket.pages(prefix), 1):
            for key in page.keys:
                listing.add(key.rpartition("/")[2])
        return listing

    def _forget(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _ahead(self) -> Iterator[Page]:
        waiting: deque[Page] = deque()
        for page in self._bucket.pages():
            self.names.add(page.keys)
            waiting.append(page)
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting

    def _entry(self, page: Page, at: int, branches: Branches, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        key, size = page.keys[at], page.sizes[at]
        skipped, outcome = branches.skipped(key)
        if skipped:
            if outcome is not None:
                yield outcome
            return
        path, etag = self.root + key, page.etags[at] if page.etags else ""
        found = rules.judge(path, key, self._stat(key, size, page.times[at], etag))
        restored = page.restored[at] if page.restored else Restored()
        if isinstance(found, SourceFile) and page.classes and is_archived(page.classes[at]) and not restored.until:
            found = _archived(path, page.classes[at], size)
        yield found

    def _read_small(self, found: SourceFile, recogniser: Recogniser) -> Read | None:
        """Return a file that may be a sidecar through the cache; None for any other file."""
        if found.size > _LONGEST_KEPT or not found.file_name.lower().endswith(SIDECAR_NAMES):
            return None
        small = self.small(found.place)
        return of_bytes(_as_got(found, small.size, small.etag), small.data, recogniser) if small else None

    def _read(self, found: SourceFile, recogniser: Recogniser) -> Read:
        def take(got: Got) -> Read:
            now = _as_got(found, got.size, got.etag)
            if is_streamed(found, got.size, recogniser):
                return of_pieces(now, got.pieces(), self._spools, recogniser)
            return of_bytes(now, got.whole(), recogniser)

        return self._bucket.read(found.place, take)


def _small(got: Got) -> _Small:
    return _Small(size=got.size, etag=got.etag, data=got.whole() if got.size <= _LONGEST_READ else b"")


def _as_got(found: SourceFile, size: int, etag: str) -> SourceFile:
    """Return a file with size and stamp of its GET: the journal must not record these bytes as the listed ones."""
    return replace(found, size=size, stamp=stamp_of(etag), pinned=bool(etag))


def failed(path: str, error: StoreError, *, size: int | None = None) -> FileOutcome:
    """Return the outcome of a failed request to a source; without the error's hint, which is about the store."""
    if isinstance(error, BlobArchived):
        return _archived(path, "an archive class", size)
    detail = f"{error.message}; check the source and its permissions, then run the same command again"
    return FileOutcome.failed(path, Reason.SOURCE, detail, size)


def _archived(path: str, storage_class: str, size: int | None) -> FileOutcome:
    detail = f"is in {storage_class}; restore it there, then run the same command again"
    return FileOutcome.failed(path, Reason.ARCHIVED, detail, size)


class NameWindow:
    """The names of sidecars among the keys listed last, by directory; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listings: dict[str, Listing] = {}
        self._order: deque[tuple[str, str]] = deque()

    def add(self, keys: tuple[str, ...]) -> None:
        """Add the keys of a page."""
        kept = Listing()
        for key in keys:
            if kept.of(key) is None:
                continue
            directory, slash, name = key.rpartition("/")
            with self._lock:
                self._listings.setdefault(directory + slash, Listing()).add(name)
                self._order.append((directory + slash, name))
                if len(self._order) > _MOST_NAMES:
                    self._forget(*self._order.popleft())

    def listed(self, directory: str) -> Listing:
        """Return the sidecars of a directory that are still in the window."""
        with self._lock:
            return self._listings.get(directory) or Listing()

    def _forget(self, directory: str, name: str) -> None:
        listing = self._listings[directory]
        names = listing.of(name)
        if names is not None:
            names.discard(name)
        if not len(listing):
            del self._listings[directory]


class BesideKeys:
    """The sidecars of objects in a listing; see ingest.sidecar."""

    def __init__(self, files: "BucketFiles") -> None:
        self._files = files

    def listed(self, directory: str, photo: str) -> Listing:
        return self._files.names.listed(directory)

    def content(self, path: str, longest: int) -> bytes | None:
        found = self._files.small(path)
        return None if found is None else found.data if len(found.data) <= longest else b""

    def forget(self) -> None:
        """Do nothing: the window of names belongs to one listing."""


class BesideOne(BesideKeys):
    """The sidecars of objects from a list: one request lists the keys with the same beginning as the photo's."""

    def __init__(self, files: "BucketFiles") -> None:
        super().__init__(files)
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    def forget(self) -> None:
        self._listings.clear()

    def listed(self, directory: str, photo: str) -> Listing:
        # All names of a photo share a stem; numbers and suffixes of edited copies follow it.
        stem = photo.rpartition(".")[0] or photo
        prefix = directory + re.sub(r"\(\d+\)$|-[^-]*$", "", re.sub(r"\(\d+\)$", "", stem) or stem)[:_SHARED]
        if (known := self._listings.get(prefix)) is not None:
            return known
        listing = self._listings[prefix] = self._files.starting(prefix)
        while len(self._listings) > _MOST_LISTINGS:
            with suppress(KeyError):
                self._listings.popitem(last=False)
        return listing
