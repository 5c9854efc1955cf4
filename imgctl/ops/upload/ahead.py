"""What an upload does while its catalog is still being opened: it reads files, and looks whether there is a bucket."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread

from imgctl.errors import StoreDenied
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.upload.known import Known
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.puts import Put
from imgctl.ops.upload.readers import Read, Readers
from imgctl.ops.upload.walk import Found
from imgctl.run.inbox import Inbox
from imgctl.store.blobs.base import BlobStore

# About as much as one reader hashes in the time the catalog takes.
FIRST_BYTES = 128 * 2**20


class Bucket:
    """One look whether the bucket is there, in a thread of its own."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._lock = Lock()
        self._begun = False
        self._seen: Future[None] = Future()

    def begin(self) -> None:
        """Look, unless that has begun."""
        if self._begun:
            return
        with self._lock:
            if not self._begun:
                self._begun = True
                Thread(target=self._look, name="imgctl bucket", daemon=True).start()

    def expect(self) -> None:
        """Raise BucketMissing before anything is promised: some servers create what a put misspells."""
        self.begin()
        with suppress(StoreDenied):
            # Who may put need not be allowed to list.
            self._seen.result()

    def _look(self) -> None:
        try:
            self._store.reach()
        except Exception as error:
            self._seen.set_exception(error)
        else:
            self._seen.set_result(None)


class Ahead:
    """Readers at work, and where they leave what they have read; the bucket is asked for with the first image."""

    def __init__(
        self,
        files: Iterator[Found | FileOutcome],
        order: UploadOrder,
        *,
        store: BlobStore,
        known: Known,
        sidecars: SidecarFiles,
        recogniser: Recogniser,
    ) -> None:
        self.known = known
        self.store = store
        self.bucket = Bucket(store)
        self.events: Inbox[Read | Put] = Inbox()
        self.readers = Readers(
            files,
            known,
            sidecars,
            recogniser,
            window=order.first_window,
            budget_bytes=min(order.memory_bytes, FIRST_BYTES),
            events=self.events,
            image_found=self.bucket.begin if not order.dry_run else None,
        )
        self.readers.start()

    def abandon(self) -> None:
        """Read no more, and wait for nothing."""
        self.readers.abandon()
        self.known.abandon()
