"""What a store was found to do of what imgctl's laws rest on: one value."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from imgctl.errors import BlobExists, StoreDenied, StoreError


class Kept(StrEnum):
    """How a store answers a request that it should refuse or obey, once tried."""

    YES = "yes"
    IGNORED = "ignored"
    NOT_IMPLEMENTED = "not_implemented"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


@dataclass(slots=True, kw_only=True)
class Traits:
    """What one store does, each found out by trying it: once in a run, when it is needed first. None is not yet tried.

    `put_if_absent`: refuses `If-None-Match: *` for a key that is taken. `checksum`: refuses a body whose checksum
    differs. `order`: lists in UTF-8 byte order from start-after on. `if_match`: answers a ranged GET with that range,
    and refuses it under another ETag. `etag`: names one in its answer to PUT. `versions`: keeps what is overwritten.
    `lists_restores`: reports restores in listings. `sorts_segments`: lists `a/b` before `a-b`.
    """

    put_if_absent: Kept | None = None
    versions: bool | None = field(default=None, compare=False)
    lists_restores: bool = field(default=True, compare=False)
    sorts_segments: bool | None = field(default=None, compare=False)
    checksum: Kept = Kept.NOT_APPLICABLE
    order: Kept = Kept.NOT_APPLICABLE
    if_match: Kept = Kept.NOT_APPLICABLE
    etag: Kept = Kept.NOT_APPLICABLE


def put_twice(put: Callable[[], object], *, delete: Callable[[], object]) -> Kept:
    """Whether a put under a free key, made twice, is refused the second time; what was put is deleted."""
    try:
        put()
        put()
    except StoreDenied:
        return Kept.UNKNOWN
    except BlobExists:
        kept = Kept.YES
    else:
        kept = Kept.IGNORED
    with suppress(StoreError):
        delete()
    return kept
