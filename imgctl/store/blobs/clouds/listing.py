"""Lists a cloud's bucket page by page, between two keys of a store below a prefix."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from imgctl.store.blobs.calls import Calls
from imgctl.store.blobs.clouds.provider import Listed, Provider
from imgctl.store.blobs.pages import Page


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
