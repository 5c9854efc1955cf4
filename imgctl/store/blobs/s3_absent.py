"""Whether a server refuses a put under a key that is taken: found out by trying, once for each store."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore

from imgctl.errors import BlobExists, StoreDenied, StoreError, StoreUnsupported
from imgctl.keys import PROBES
from imgctl.store.blobs.traits import Kept, warning

if TYPE_CHECKING:
    from obstore.store import S3Store as ObstoreS3

log = logging.getLogger(__name__)

# Of these servers a key's absence is asked by HEAD.
LACKING = (Kept.IGNORED, Kept.NOT_IMPLEMENTED)

# Makes one request, again where it failed in passing; raises StoreError.
Call = Callable[[Callable[[], object]], object]


class PutIfAbsent:
    """What was found out of one bucket; `found` is None until somebody asked."""

    def __init__(self, bucket: str) -> None:
        self.found: Kept | None = None
        self._bucket = bucket
        self._lock = threading.Lock()

    def find(self, store: "ObstoreS3", call: Call, *, prefix: str) -> Kept:
        """Put a small object twice under one new name, and delete it; raises StoreError, and asks again the next time.

        UNKNOWN where these puts are forbidden. What a run lacks is said once in the log.
        """
        if self.found is None:
            with self._lock:
                if self.found is None:
                    self.found = _tried(store, call, f"{prefix}{PROBES}{uuid4()}")
                    if said := warning(self.found):
                        log.warning("bucket %s: %s", self._bucket, said)
        return self.found


def _tried(store: "ObstoreS3", call: Call, name: str) -> Kept:
    put = partial(obstore.put, store, name, b"imgctl", mode="create", use_multipart=False)
    try:
        call(put)
        call(put)
    except StoreUnsupported:
        return Kept.NOT_IMPLEMENTED
    except StoreDenied:
        return Kept.UNKNOWN
    except BlobExists:
        kept = Kept.YES
    else:
        kept = Kept.IGNORED
    with suppress(StoreError):
        call(partial(obstore.delete, store, name))
    return kept
