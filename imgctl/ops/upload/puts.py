"""Threads that put promised originals into the store; obstore waits outside the interpreter lock."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from imgctl.errors import BlobCorrupt, BlobExists, StoreError
from imgctl.ops.upload.prepare import Prepared
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.promises import Promised


@dataclass(slots=True, kw_only=True)
class Put:
    """A promised original on its way; `error` is what kept it from arriving, None when its bytes are safe."""

    prepared: Prepared
    promised: Promised
    error: Exception | None = None


def put_original(store: BlobStore, put: Put) -> None:
    """Make one original's bytes safe under its key; raises StoreError.

    A key that is taken can only hold this very content, written by an earlier run or by one beside us; a size that
    differs is BlobCorrupt.
    """
    prepared, key = put.prepared, put.promised.original_key
    assert key is not None
    kind = prepared.probe.content_type
    try:
        if prepared.body is None:
            store.create_file(key, Path(prepared.path), size=prepared.size, content_type=kind, sha256=prepared.sha256)
        else:
            store.create(key, prepared.body, content_type=kind)
    except BlobExists:
        there = store.head(key)
        if there is None or there.size != prepared.size:
            found = "nothing" if there is None else f"{there.size} bytes"
            message = f"{key} was written before, but holds {found} instead of {prepared.size}"
            raise BlobCorrupt(message, hint="imgctl audit tells more") from None


class Putters:
    """`count` threads that take puts from a queue and hand each to `done` when it has ended, well or not."""

    def __init__(self, store: BlobStore, *, count: int, done: Callable[[Put], None]) -> None:
        self._store = store
        self._done = done
        self._queue: SimpleQueue[Put | None] = SimpleQueue()
        self._threads = [Thread(target=self._serve, name=f"put-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, put: Put) -> None:
        """Queue one put; the caller bounds how many wait."""
        self._queue.put(put)

    def close(self) -> None:
        """Finish what is queued and end the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (put := self._queue.get()) is not None:
            try:
                put_original(self._store, put)
            except (StoreError, OSError) as error:
                put.error = error
            except Exception as error:  # a thread that died silently would lose its file
                put.error = StoreError(f"unexpected {type(error).__name__}: {error}", hint="please report it")
            self._done(put)
