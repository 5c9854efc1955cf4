"""A cloud bucket's traits, tested with requests that it should reject or obey; the probes are deleted again."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from imgctl.errors import StoreDenied, StoreError, StoreUnavailable
from imgctl.keys import PROBES
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.clouds.provider import Provider, Put
from imgctl.store.blobs.retries import Calls
from imgctl.store.blobs.traits import Kept, Traits, put_twice

_BODY, _OTHER = b"123456789", b"987654321"
# Byte order, which is neither the order of put nor that of a dictionary. None is a directory of another: accounts of
# Azure with a hierarchical namespace would reject it.
_ORDERED = ("B", "a-b", "a/b", "a1", "b", "é")


def all_traits(store: BlobStore, prefix: str, provider: Provider, calls: Calls, traits: Traits) -> Traits:
    """Test all traits but put-if-absent; the store is below `prefix`."""
    name = f"{PROBES}{uuid4()}/"
    ordered = [f"{name}order/{one}" for one in _ORDERED]
    try:
        traits.checksum = _checksum(provider, calls, f"{prefix}{name}wrong")
        for one in reversed(ordered):
            store.replace(one, _BODY, content_type="text/plain")
        names = tuple(f"{prefix}{one}" for one in ordered)
        # Not by `store.scan`, which rejects a listing out of order.
        listed = [_names(provider, calls, f"{prefix}{name}order/", after) for after in ("", names[1])]
        traits.order = Kept.YES if listed == [names, names[2:]] else Kept.IGNORED
        traits.if_match = _if_match(store, f"{name}range")
    finally:
        with suppress(StoreError):
            store.delete([*ordered, f"{name}wrong", f"{name}range"])
    return traits


def _names(provider: Provider, calls: Calls, prefix: str, after: str) -> tuple[str, ...]:
    page, _ = calls.call("", lambda: provider.page(prefix, after, ""))
    return page.keys


def put_if_absent(store: BlobStore, prefix: str, provider: Provider, calls: Calls, about: str) -> Kept:
    """Whether a second put under one name is rejected; error texts name the key `about`."""
    probe, md5 = f"{PROBES}{uuid4()}", hashlib.md5(b"imgctl", usedforsecurity=False).digest()
    put = Put(body=b"imgctl", md5=md5, content_type="text/plain")
    return put_twice(
        lambda: calls.call(about, lambda: provider.put(prefix + probe, put, absent=True)),
        delete=lambda: store.delete([probe]),
    )


def _checksum(provider: Provider, calls: Calls, name: str) -> Kept:
    """Whether a body that differs from its MD5 is rejected."""
    wrong = Put(body=_OTHER, md5=hashlib.md5(_BODY, usedforsecurity=False).digest(), content_type="text/plain")
    return (
        Kept.YES if _rejects(lambda: calls.call("", lambda: provider.put(name, wrong, absent=False))) else Kept.IGNORED
    )


def _if_match(store: BlobStore, key: str) -> Kept:
    """Whether a ranged GET returns its range, and is rejected after the object was replaced."""
    store.replace(key, _BODY, content_type="text/plain")
    found = store.head(key)
    if found is None or store.read(key, start=2, length=3, etag=found.etag) != _BODY[2:5]:
        return Kept.NOT_IMPLEMENTED
    store.replace(key, _OTHER, content_type="text/plain")
    return Kept.YES if _rejects(lambda: store.read(key, start=2, length=3, etag=found.etag)) else Kept.IGNORED


def _rejects(request: Callable[[], object]) -> bool:
    """Whether the server rejects this request, for a reason other than permissions or load."""
    try:
        request()
    except (StoreDenied, StoreUnavailable):
        raise
    except StoreError:
        return True
    return False
