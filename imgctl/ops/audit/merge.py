"""The merge join of rows and listings: one pass over both, which yields only candidates for a finding."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from imgctl.errors import KeyShapeError
from imgctl.keys import ORIGINAL, key_of, parse_key
from imgctl.model import INTELLIGENT_TIERING, UNKNOWN
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.listing_pages import Page
from imgctl.store.catalog.queries.audit import Line, State

# Sorts behind every role, and behind every digit.
BEHIND = "~"
# `YYYY/MM/DD/<id>-`: every key of an image begins with this, after the prefix.
STEM_CHARS = 48
# Indexes of the fields after a Line's four keys.
BYTES, STATE, CLASS, ID = 4, 5, 6, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image to look up again, or a blob without a known image (id None), and its listed blobs."""

    id: UUID | None
    seen: dict[str, Blob] = field(default_factory=dict)


class Cursor:
    """A position in the listing of one prefix; holds one page at a time.

    A Line has the keys of `roles[first:last]` at `first` to `last`, in the byte order of the keys.
    """

    def __init__(
        self, pages: Iterator[Page], *, prefix: str = "", first: int = 0, last: int = 0, roles: Sequence[str] = ()
    ) -> None:
        self.prefix = prefix
        self.keys_seen = 0
        self._pages = pages
        self._first, self._last = first, last
        self._width = last - first
        mine = roles[first:last]
        self._original = mine.index(ORIGINAL) if ORIGINAL in mine else None
        self._stem = len(prefix) + STEM_CHARS
        self._page = Page((), (), ())
        self._at = 0

    def fits(self, line: Line) -> bool:
        """Whether the next blobs are exactly this row's, none empty, the original with the row's size; if so, skip them."""
        at = self._at
        end = at + self._width
        page = self._page
        # One more than the row's keys: another key with the row's stem belongs to the image too.
        while end >= len(page.keys) and self._more():
            at, page = 0, self._page
            end = self._width
        keys = page.keys
        if keys[at:end] != line[self._first : self._last] or 0 in page.sizes[at:end]:
            return False
        if self._original is not None:
            here = at + self._original
            if page.sizes[here] != line[BYTES] and line[BYTES] is not None:
                return False
        if page.classes is not None and not self._in_class(page.classes[at:end], line):
            return False
        if end < len(keys) and keys[end].startswith(keys[at][: self._stem]):
            return False
        self._at = end
        return True

    def before(self, key: str) -> Iterator[Blob]:
        """Take the blobs that sort before `key`, or all remaining ones for an empty key."""
        while (found := self._peek()) is not None and (not key or found < key):
            yield self._take()

    def group(self, stem: str) -> dict[str, Blob]:
        """Take the next blobs whose keys begin with `stem`."""
        found = {}
        while (key := self._peek()) is not None and key.startswith(stem):
            found[key] = self._take()
        return found

    def _in_class(self, classes: tuple[str, ...], line: Line) -> bool:
        if INTELLIGENT_TIERING in classes:
            # Only HEAD returns its archive tiers.
            return False
        wanted = ["STANDARD"] * self._width
        if self._original is not None:
            wanted[self._original] = str(line[CLASS] or "STANDARD")
        return classes == tuple(wanted)

    def _peek(self) -> str | None:
        if self._at >= len(self._page.keys) and not self._more():
            return None
        return self._page.keys[self._at]

    def _take(self) -> Blob:
        page, at = self._page, self._at
        self._at += 1
        storage_class = page.classes[at] if page.classes else UNKNOWN
        return Blob(key=page.keys[at], size=page.sizes[at], modified_at=page.times[at], storage_class=storage_class)

    def _more(self) -> bool:
        """Append the next page to the rest of this one; False if there is none."""
        following = next(self._pages, None)
        if following is None:
            return False
        self.keys_seen += len(following.keys)
        page, at, self._at = self._page, self._at, 0
        if at >= len(page.keys):
            self._page = following
            return True
        classes = page.classes[at:] + following.classes if page.classes and following.classes else None
        self._page = Page(
            page.keys[at:] + following.keys,
            page.sizes[at:] + following.sizes,
            page.times[at:] + following.times,
            classes,
        )
        return True


def merge_join(rows: Iterable[Sequence[Line]], cursors: Sequence[Cursor]) -> Iterator[Candidate]:
    """Yield every row and every blob without a match, in the order of ids."""
    for batch in rows:
        for line in batch:
            # Nearly every row matches here, without creating an object or parsing a key.
            left = [one for one in cursors if not one.fits(line)] if line[STATE] == State.PLAIN else cursors
            if left:
                yield from _compare(line, left)
    for cursor in cursors:
        yield from _without_row(cursor, "")


def stem_of(image: UUID, prefix: str) -> str | None:
    """Return the stem of an image's keys; None for an id past the year 9999, which can have no keys."""
    try:
        return key_of(image, "", "", prefix=prefix).removesuffix(".")
    except (OverflowError, ValueError):
        return None


def _compare(line: Line, cursors: Sequence[Cursor]) -> Iterator[Candidate]:
    image = UUID(str(line[ID]))
    seen: dict[str, Blob] = {}
    for cursor in cursors:
        stem = stem_of(image, cursor.prefix)
        if stem is not None:
            yield from _without_row(cursor, stem)
            seen |= cursor.group(stem)
    if not _is_in_progress(line, seen, cursors):
        yield Candidate(id=image, seen=seen)


def _is_in_progress(line: Line, seen: dict[str, Blob], cursors: Sequence[Cursor]) -> bool:
    """Whether a row is leased by or waits for a worker, and has only blobs that such a row may have."""
    state = line[STATE]
    prefixes = [cursor.prefix for cursor in cursors]
    if state not in (State.BUSY, State.QUEUED) or any(_id_in(key, prefixes) is None for key in seen):
        return False
    if state == State.BUSY:
        return True
    named = [key for key in line[:BYTES] if isinstance(key, str) and f"-{ORIGINAL}." in key]
    if [key for key in seen if f"-{ORIGINAL}." in key] != named or len(named) != 1:
        return False
    blob = seen[named[0]]
    same_class = blob.storage_class == UNKNOWN or (
        blob.storage_class != INTELLIGENT_TIERING and blob.storage_class == (line[CLASS] or "STANDARD")
    )
    return blob.size > 0 and line[BYTES] in (None, blob.size) and same_class


def _without_row(cursor: Cursor, before: str) -> Iterator[Candidate]:
    for blob in cursor.before(before):
        yield Candidate(id=_id_in(blob.key, (cursor.prefix,)), seen={blob.key: blob})


def _id_in(key: str, prefixes: Iterable[str]) -> UUID | None:
    """Return the image id in a key, or None."""
    for prefix in prefixes:
        try:
            return parse_key(key, prefix=prefix).id
        except KeyShapeError:
            continue
    return None
