"""The tested features of a store that imgctl relies on."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from imgctl.errors import BlobExists, StoreDenied, StoreError


class Kept(StrEnum):
    """The result of testing whether a store implements a feature."""

    YES = "yes"
    IGNORED = "ignored"
    NOT_IMPLEMENTED = "not_implemented"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


@dataclass(slots=True, kw_only=True)
class Traits:
    """The features of one store, each tested once in a run, on first use. None: not yet tested.

    `put_if_absent`: rejects `If-None-Match: *` for an existing key. `checksum`: rejects a body whose checksum
    differs. `order`: lists in UTF-8 byte order from start-after on. `if_match`: returns the range of a ranged GET,
    and rejects it under another ETag. `etag`: returns one for a PUT. `versions`: keeps overwritten objects.
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
    """Put twice under a new key, to test whether the second put is rejected; the object is deleted."""
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
