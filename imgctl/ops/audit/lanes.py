"""One listing as the merge walks along it: held a page at a time, given out row by row."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from imgctl.model import INTELLIGENT_TIERING
from imgctl.store.catalog.audit import Line
from imgctl.store.listing import Page

# Behind every role, and every digit.
BEHIND = "~"
# `YYYY/MM/DD/<id>-`: what every key of one image begins with, behind the prefix.
STEM_CHARS = 48


class Seen(NamedTuple):
    """A blob as a listing or a HEAD told of it; the class is None where it was not told."""

    size: int
    modified_at: datetime
    storage_class: str | None = None


class Lane:
    """The blobs under one prefix. `first` and `last` cut its keys out of a Line, `original` is that key's place there.

    `original` is None where the lane has no originals. `size_at` is where a Line has the original's size, and
    `class_at` where its storage class; `classes` says that the listing tells them.
    """

    def __init__(self, pages: Iterator[Page], *, prefix: str, first: int, last: int, original: int | None) -> None:
        self.prefix = prefix
        self.first = first
        self.last = last
        self.keys_seen = 0
        self._pages = pages
        self._width = last - first
        self._original = original
        self._stem = len(prefix) + STEM_CHARS
        self._page = Page((), (), ())
        self._at = 0

    def fits(self, line: Line) -> bool:
        """Whether the next blobs are exactly this row's, none empty, the original of its size; if so, pass them."""
        at = self._at
        end = at + self._width
        page = self._page
        # One more than its own: what else begins with the row's stem belongs to it too.
        while end >= len(page.keys) and self._more():
            at, page = 0, self._page
            end = self._width
        keys = page.keys
        if keys[at:end] != line[self.first : self.last] or 0 in page.sizes[at:end]:
            return False
        if self._original is not None:
            here = at + self._original
            if page.sizes[here] != line[4] and line[4] is not None:
                return False
        if page.classes is not None and not self._in_class(page.classes[at:end], line):
            return False
        if end < len(keys) and keys[end].startswith(keys[at][: self._stem]):
            return False
        self._at = end
        return True

    def strays(self, before: str) -> Iterator[tuple[str, Seen]]:
        """The blobs that sort before `before` (all the rest for an empty one), which are then behind us."""
        while (key := self._peek()) is not None and (not before or key < before):
            yield key, self._take()

    def group(self, stem: str) -> dict[str, Seen]:
        """The next blobs whose keys begin with `stem`, which are then behind us."""
        found = {}
        while (key := self._peek()) is not None and key.startswith(stem):
            found[key] = self._take()
        return found

    def _in_class(self, classes: tuple[str, ...], line: Line) -> bool:
        if INTELLIGENT_TIERING in classes:
            # Its archive tiers are told by HEAD alone.
            return False
        wanted = ["STANDARD"] * self._width
        if self._original is not None:
            wanted[self._original] = str(line[6] or "STANDARD")
        return classes == tuple(wanted)

    def _peek(self) -> str | None:
        if self._at >= len(self._page.keys) and not self._more():
            return None
        return self._page.keys[self._at]

    def _take(self) -> Seen:
        page, at = self._page, self._at
        self._at += 1
        return Seen(page.sizes[at], page.times[at], page.classes[at] if page.classes else None)

    def _more(self) -> bool:
        """Put the next page behind what is left of this one; False when there is none."""
        following = next(self._pages, None)
        if following is None:
            return False
        self.keys_seen += len(following.keys)
        page, at = self._page, self._at
        self._at = 0
        if at >= len(page.keys):
            self._page = following
            return True
        classes = None
        if page.classes is not None and following.classes is not None:
            classes = page.classes[at:] + following.classes
        self._page = Page(
            page.keys[at:] + following.keys,
            page.sizes[at:] + following.sizes,
            page.times[at:] + following.times,
            classes,
        )
        return True
