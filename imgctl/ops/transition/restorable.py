"""Whether a server restores what it archives: some store an archive class as a label, and have no restore."""

import os
from contextlib import suppress
from functools import partial
from uuid import uuid4

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BucketMissing, StoreDenied, StoreError, StoreUnavailable, StoreUnsupported
from imgctl.keys import PROBES
from imgctl.model import StorageClass, is_archived
from imgctl.ops.common.retry import StopSignal, retry
from imgctl.pricing.estimate import Billing, billing
from imgctl.store.blobs.base import BlobStore, Tier

# These restore, and would bill a probe for the shortest stay of its class.
_KNOWN = (Billing.NONE, Billing.AWS, Billing.GOOGLE, Billing.AZURE)
_UNDECIDED = (BucketMissing, StoreDenied, StoreUnavailable)


def check_restores(store: BlobStore, settings: StoreSettings, *, to: StorageClass, stop: StopSignal) -> None:
    """Raise StoreUnsupported if nothing could be read again after a move to this class; tested by a small blob.

    Raises the store's error if the test itself is denied, or the store stays unreachable.
    """
    if not is_archived(to) or billing(settings.url, settings.endpoint(os.environ)) in _KNOWN:
        return
    if failed := retry(partial(_failure, store, to), stop=stop, on=StoreUnavailable):
        hint = f"its restore failed: {failed}; imgctl doctor --conformance --yes tests this server"
        raise StoreUnsupported(f"this server restores nothing from {to}: no original was moved", hint=hint)


def _failure(store: BlobStore, to: StorageClass) -> str:
    """Return why a blob of this class cannot be restored; empty if it can, or cannot be moved there in the first place."""
    key = f"{PROBES}{uuid4()}"
    store.create(key, b"imgctl", content_type="text/plain")
    try:
        found = store.head(key)
        try:
            store.move(key, to=to, etag=found.etag if found else "")
        except _UNDECIDED:
            raise
        except StoreError:
            # The originals' own moves report this.
            return ""
        store.restore(key, tier=Tier.BULK, days=1)
    except _UNDECIDED:
        raise
    except StoreError as error:
        return error.message
    finally:
        with suppress(StoreError):
            store.delete([key])
    return ""
