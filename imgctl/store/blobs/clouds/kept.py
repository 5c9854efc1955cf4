"""Lists a cloud's bucket: the pages between two keys, and all it keeps (old versions, snapshots, soft-deleted objects), to delete it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from imgctl.errors import StoreDenied, StoreError
from imgctl.store.blobs.base import Remnant
from imgctl.store.blobs.calls import Calls
from imgctl.store.blobs.clouds.provider import Listed, Provider
from imgctl.store.blobs.errors import ErrorResponse
from imgctl.store.blobs.pages import Page

NOT_FOUND = 404
SNAPSHOT = "snapshot:"


def everything(provider: Provider, calls: Calls, prefix: str) -> Iterator[Remnant]:
    """Yield all that is kept under names that begin with `prefix`; the keys are whole names."""
    token = ""
    while True:

        def fetch(token: str = token) -> tuple[list[Remnant], str]:
            return provider.everything(prefix, token)

        some, token = calls.call("", fetch)
        yield from some
        if not token:
            return


def purge(provider: Provider, calls: Calls, some: Sequence[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
    """Delete these; yields the rejected remnants, and soft-deleted ones with `until` set: the time when the cloud drops them."""
    rejected = _deleted(provider, calls, [one for one in some if one.until is None], permanent=False)
    soft = calls.call("", provider.soft)
    if soft.permanent:
        # With versioning each blob has a version; a soft-deleted blob without one cannot be deleted, it only expires.
        old = [one for one in some if one.version_id is not None and one not in rejected]
        rejected |= _deleted(provider, calls, old, permanent=True)
    yield from rejected.items()
    for one in some:
        until = one.until or (datetime.now(UTC) + soft.retention if soft.retention else None)
        if one in rejected or until is None or (soft.permanent and one.version_id is not None):
            continue
        message = f"{one.name} is soft-deleted, and stays until about {until:%Y-%m-%d %H:%M}"
        hint = "it cannot be deleted sooner; run the same command again after that"
        yield replace(one, until=until), StoreDenied(message, hint=hint)


def _deleted(provider: Provider, calls: Calls, some: list[Remnant], *, permanent: bool) -> dict[Remnant, StoreError]:
    """Delete these, and retry transient failures; returns the rejected ones with the reason."""
    left, rejected = some, dict[Remnant, StoreError]()

    def attempt() -> None:
        nonlocal left
        again: list[tuple[Remnant, ErrorResponse]] = []
        for one, error in provider.purge(left, permanent=permanent):
            reason = calls.judged(error, one.name)
            if error.status == NOT_FOUND:
                continue
            if reason is None:
                again.append((one, error))
            else:
                rejected[one] = reason
        left = [one for one, _ in again]
        if again:
            raise again[0][1]

    if left:
        calls.call("", attempt)
    return rejected


class Span(NamedTuple):
    """The range of a listing: keys that begin with `prefix`, `after` < key <= `until`; empty for no limit."""

    prefix: str
    after: str
    until: str


def listed(
    provider: Provider, calls: Calls, below: str, span: Span, *, on_request: Callable[[], None]
) -> Iterator[Page]:
    """Yield pages with keys of the store below a prefix; they may contain keys outside the span, and none is empty."""
    start = below + span.after if span.after else ""
    shared = below + max(span.prefix, _shared(span.after, span.until), key=len)
    skip, token = len(below), ""

    while True:

        def fetch(token: str = token) -> Listed:
            on_request()
            return provider.page(shared, start, token)

        page, token = calls.call("", fetch)
        page = page._replace(keys=tuple([key[skip:] for key in page.keys]))
        # A folder marker, as consoles create them.
        page = page.cut(1, len(page.keys)) if page.keys[:1] == ("",) else page
        if page.keys:
            yield page
        if not token or (span.until and page.keys and page.keys[-1] > span.until):
            return


def _shared(after: str, until: str) -> str:
    """Return the common prefix of all keys between two keys."""
    if not after or not until:
        return ""
    length = next((at for at, (one, other) in enumerate(zip(after, until, strict=False)) if one != other), None)
    return after[: min(len(after), len(until)) if length is None else length]
