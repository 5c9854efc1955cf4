"""Conformance tests of a store: each feature that imgctl uses, tried on small blobs under a prefix, which is purged."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import chain
from uuid import uuid4

from imgctl.errors import BlobCorrupt, ImgctlError, StoreDenied, StoreError, StoreUnsupported
from imgctl.keys import PROBES
from imgctl.model import StorageClass
from imgctl.ops.common.retry import StopSignal
from imgctl.pricing.costs import Operation, request_cost
from imgctl.pricing.estimate import Estimate, estimated
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import BlobStore, Remnant, Tier
from imgctl.store.blobs.traits import Kept
from imgctl.units import count_of

BELOW = f"{PROBES}conformance/"
_BODY, _TYPE = b"123456789", "text/plain"
_LINK_SECONDS, _TIMEOUT_SECONDS = 60, 30.0
_SKEW_SECONDS = 5.0
_NO, _YES = "no", "yes"
# The most requests of each kind that the suite makes (counted over every store of the tests, and rounded up).
_PUTS, _GETS, _HEADS, _LISTS = 60, 20, 40, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """The result for one feature: `yes`, `no` or another word, and details from the store's response."""

    name: str
    answer: str
    detail: str = ""


def price(card: Card) -> Estimate:
    """Return the highest price of the suite; its blobs have nine bytes."""
    requests = ((Operation.PUT, _PUTS), (Operation.GET, _GETS), (Operation.HEAD, _HEADS), (Operation.LIST, _LISTS))
    standard = tuple(request_cost(card, StorageClass.STANDARD, kind, count) for kind, count in requests)
    moved = tuple(
        request_cost(card, one, Operation.COPY, 1) for one in (StorageClass.STANDARD_IA, StorageClass.GLACIER)
    )
    return estimated(
        card,
        (*standard, *moved),
        "blobs of 9 bytes and one of 5 MiB, deleted within the run; a shortest stay of 30 or 90 days",
    )


def conformance(store: BlobStore, *, stop: StopSignal) -> Iterator[Trait]:
    """Test one feature after the other; the error of a failed test is its detail. Purges an earlier run's blobs first.

    Purges everything at the end, also after an error or a stop. Raises StoreError for an unreachable store.
    """
    if kept := _default_lock(store):
        hint = "use a bucket without default retention"
        raise StoreUnsupported(f"the bucket locks new blobs ({kept}): the suite could not delete its own", hint=hint)
    sweep(store)
    try:
        store.check()
        run = _Suite(store)
        for name, probe in run.probes().items():
            if stop.is_set():
                return
            try:
                answer, detail = probe()
            except ImgctlError as error:
                answer, detail = "error", error.line
            yield Trait(name=name, answer=answer, detail=detail)
    finally:
        sweep(store)


def sweep(store: BlobStore) -> None:
    """Purge whatever lies below the suite's prefix: versions, delete markers and unfinished uploads too."""
    found = store.purge(chain(store.remnants([BELOW]), _uploads(store)))
    # Soft-deleted blobs expire by themselves.
    left = [one for one, _ in found if one.until is None]
    for one in left:
        # A run that was killed may have left a legal hold.
        with suppress(StoreError):
            store.set_legal_hold(one, on=False)
    for one, error in store.purge(left):
        raise StoreError(f"{one.key} could not be removed: {error.message}", hint="remove it by hand") from error


def _uploads(store: BlobStore) -> Iterator[Remnant]:
    with suppress(StoreUnsupported):
        yield from (one for one in store.uploads() if one.key.startswith(BELOW))


def _default_lock(store: BlobStore) -> str | None:
    try:
        return store.object_lock()
    except StoreDenied:
        # Reported as the result of "object lock".
        return None


class _Suite:
    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._below = f"{BELOW}{uuid4()}/"
        self._hidden = False
        self._parts: Kept | None = None

    def probes(self) -> dict[str, Callable[[], tuple[str, str]]]:
        """Return the tests by the names of their features."""
        traits = self._store.traits()
        # A directory's listings leave out names that begin with a dot.
        self._hidden = traits.order is Kept.NOT_APPLICABLE
        known: dict[str, Kept | None] = {
            "put if absent": traits.put_if_absent,
            "checksums": traits.checksum,
            "byte order": traits.order,
            "ranges under ETag": traits.if_match,
            "ETag of a put": traits.etag,
        }
        tried: dict[str, Callable[[], tuple[str, str]]] = {name: partial(_known, kept) for name, kept in known.items()}
        return tried | {
            "ranged reads": self._ranges,
            "replaced while read": self._replaced,
            "listing after a put": self._listed,
            "listing after a delete": self._unlisted,
            "batch delete": self._batch_delete,
            "copy": self._copy,
            "multipart": self._multipart,
            "multipart if absent": lambda: _known(self._parts),
            "signed GET": self._signed_get,
            "signed PUT": self._signed_put,
            "versions": self._versions,
            "object lock": self._object_lock,
            "class STANDARD_IA": lambda: self._class(StorageClass.STANDARD_IA),
            "class GLACIER": lambda: self._class(StorageClass.GLACIER),
            "restore": self._restore,
            "clock": self._clock,
        }

    def _put(self, name: str) -> str:
        key = self._below + name
        self._store.create(key, _BODY, content_type=_TYPE)
        return key

    def _etag(self, key: str) -> str:
        found = self._store.head(key)
        return found.etag if found is not None else ""

    def _ranges(self) -> tuple[str, str]:
        key = self._put("range")
        got = self._store.read(key, start=2, length=3, etag=self._etag(key))
        return _yes_if(got == _BODY[2:5], f"{count_of(len(got), 'byte')} of 3")

    def _replaced(self) -> tuple[str, str]:
        key = self._put("replaced")
        before = self._etag(key)
        # In a directory only the file's time shows a change.
        time.sleep(0.01)
        self._store.replace(key, _BODY[::-1], content_type=_TYPE)
        try:
            self._store.read(key, start=0, length=3, etag=before)
        except BlobCorrupt:
            return "noticed", ""
        return _NO, "a replaced blob is still read under its old ETag"

    def _keys(self, below: str) -> list[str]:
        return [one.key for one in self._store.scan(prefix=below)]

    def _listed(self) -> tuple[str, str]:
        if self._hidden:
            return str(Kept.NOT_APPLICABLE), ""
        key = self._put("listed")
        return _yes_if(key in self._keys(self._below), "at once")

    def _unlisted(self) -> tuple[str, str]:
        if self._hidden:
            return str(Kept.NOT_APPLICABLE), ""
        key = self._put("unlisted")
        self._store.delete([key])
        return _yes_if(key not in self._keys(self._below), "at once")

    def _batch_delete(self) -> tuple[str, str]:
        keys = [self._put(f"batch/{number}") for number in range(3)]
        self._store.delete([*keys, f"{self._below}batch/never"])
        return _yes_if(all(self._store.head(key) is None for key in keys), "3 keys and one that was never there")

    def _copy(self) -> tuple[str, str]:
        key, copied = self._put("copy"), f"{self._below}copied"
        self._store.copy(key, copied, etag=self._etag(key), content_type=_TYPE)
        return _yes_if(self._store.get(copied) == _BODY, "")

    def _signed_get(self) -> tuple[str, str]:
        url = self._store.sign(self._put("signed"), seconds=_LINK_SECONDS)
        if not url.startswith("http"):
            return str(Kept.NOT_APPLICABLE), ""
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return _yes_if(answer.read() == _BODY, "")

    def _signed_put(self) -> tuple[str, str]:
        key = f"{self._below}put"
        digest = sha256(_BODY).digest()
        signed = self._store.sign_create(key, seconds=_LINK_SECONDS, size=len(_BODY), content_type=_TYPE, sha256=digest)
        if signed is None:
            return _NO, "none is issued: it could overwrite, or the store has no signed PUTs"
        first, again = (_status(signed.url, signed.headers) for _ in range(2))
        refused = again >= 400 and self._store.get(key) == _BODY
        return _yes_if(first < 300 and refused, f"HTTP {first}, a second one {again}")

    def _versions(self) -> tuple[str, str]:
        return ("kept", "overwritten blobs stay, and are billed") if self._store.keeps_versions() else (_NO, "")

    def _multipart(self) -> tuple[str, str]:
        self._parts = self._store.multipart(f"{self._below}parts")
        if self._parts is Kept.NOT_APPLICABLE:
            return _known(self._parts)
        return _YES, "two parts became one blob"

    def _object_lock(self) -> tuple[str, str]:
        if self._store.object_lock() is None:
            return _NO, ""
        (one,) = self._store.remnants([self._put("held")])
        self._store.set_legal_hold(one, on=True)
        try:
            kept = any(self._store.purge([one]))
        finally:
            self._store.set_legal_hold(one, on=False)
        return (_YES, "a version under legal hold stays") if kept else (str(Kept.IGNORED), "a legal hold holds nothing")

    def _class(self, wanted: StorageClass) -> tuple[str, str]:
        key = self._put(f"class-{wanted}")
        self._store.move(key, to=wanted, etag=self._etag(key))
        found = self._store.details(key)
        return _yes_if(found is not None and found.storage_class == wanted, found.storage_class if found else "gone")

    def _restore(self) -> tuple[str, str]:
        key = f"{self._below}class-{StorageClass.GLACIER}"
        if self._store.head(key) is None:
            return str(Kept.NOT_APPLICABLE), ""
        return str(self._store.restore(key, tier=Tier.BULK, days=1)), ""

    def _clock(self) -> tuple[str, str]:
        found = self._store.head(self._put("clock"))
        assert found is not None
        apart = abs((found.modified_at - datetime.now(UTC)).total_seconds())
        return "agrees" if apart < _SKEW_SECONDS else "differs", f"{apart:.0f} s apart"


def _known(kept: Kept | None) -> tuple[str, str]:
    return str(kept or Kept.NOT_APPLICABLE), ""


def _yes_if(holds: bool, detail: str) -> tuple[str, str]:  # noqa: FBT001
    return (_YES if holds else _NO), detail


def _status(url: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, data=_BODY, headers=headers, method="PUT")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
