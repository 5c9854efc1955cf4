"""Lists a cloud's bucket: the pages between two keys, and all it keeps: old versions, snapshots, soft-deleted objects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from imgctl.errors import StoreDenied, StoreError
from imgctl.store.blobs.base import Remnant
from imgctl.store.blobs.clouds.provider import Provider
from imgctl.store.blobs.errors import ErrorResponse
from imgctl.store.blobs.listing_pages import Page
from imgctl.store.blobs.retries import Calls
from imgctl.store.blobs.walk import Range

T = TypeVar("T")

NOT_FOUND = 404
SNAPSHOT = "snapshot:"


def everything(provider: Provider, calls: Calls, prefix: str) -> Iterator[Remnant]:
    """Yield all that is kept under names that begin with `prefix`; the keys are whole names."""
    for some in _each(calls, partial(provider.everything, prefix)):
        yield from some


def purge(provider: Provider, calls: Calls, some: Sequence[Remnant]) -> Iterator[tuple[Remnant, StoreError]]:
    """Delete these; yields the rejected remnants, and soft-deleted ones with `until`, the time when the cloud drops them."""
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


def listed(
    provider: Provider, calls: Calls, below: str, span: Range, *, on_request: Callable[[], None]
) -> Iterator[Page]:
    """Yield pages with keys of the store below a prefix; they may contain keys outside the span, and none is empty."""
    start = below + span.after if span.after else ""
    shared = below + max(span.prefix, _shared(span.after, span.until), key=len)

    def fetch(token: str) -> tuple[Page, str]:
        on_request()
        return provider.page(shared, start, token)

    for found in _each(calls, fetch):
        page = found._replace(keys=tuple([key[len(below) :] for key in found.keys]))
        # A folder marker, as consoles create them.
        page = page.cut(1, len(page.keys)) if page.keys[:1] == ("",) else page
        if page.keys:
            yield page
        if span.until and page.keys and page.keys[-1] > span.until:
            return


def _each(calls: Calls, fetch: Callable[[str], tuple[T, str]]) -> Iterator[T]:
    """Yield the pages of a listing: each but the first is fetched by the token that came with the one before it."""
    token = ""
    while True:
        found, token = calls.call("", partial(fetch, token))
        yield found
        if not token:
            return


def _shared(after: str, until: str) -> str:
    """Return the common prefix of all keys between two keys."""
    if not after or not until:
        return ""
    length = next((at for at, (one, other) in enumerate(zip(after, until, strict=False)) if one != other), None)
    return after[: min(len(after), len(until)) if length is None else length]
