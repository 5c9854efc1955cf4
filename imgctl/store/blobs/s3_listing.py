"""Listing a bucket page by page, so that a page that failed can be asked for again."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import obstore
from obstore.exceptions import InvalidPathError

from imgctl.errors import StoreError
from imgctl.keys import all_ours
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.names import clean_start, just_before

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store as ObstoreS3

PAGE = 1000
PlainPage: TypeAlias = "tuple[Sequence[ObjectMeta], bool]"
"""Objects, and whether there are more behind them."""


class Listing:
    """The objects whose names begin with `prefix`, under their exact names, in the server's order, from about `after` on.

    Names before and behind those wanted may come too: obstore takes whole path segments only. It also alters names that
    it cannot hold (`2024/` becomes `2024`, `/a` becomes `a`) or refuses their page (`a//b`), at a sixteenth of boto3's CPU a
    name. So it lists what is shaped like ours; a page with any other name is listed again by `plain_page(prefix,
    after)`, and so are those that follow, up to one with names of ours alone (it can hide no more than that one of ours has a slash
    behind it). `asked` hears of every request.
    """

    def __init__(
        self,
        store: "ObstoreS3",
        *,
        prefix: str,
        after: str,
        plain_page: "Callable[[str, str], PlainPage]",
        asked: Callable[[], None],
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._last = max(after, just_before(prefix) if prefix else "")
        self._stream: Iterator[Sequence[ObjectMeta]] | None = None
        self._plain_page = plain_page
        self._asked = asked
        # A slash sorts before our digits, and obstore would list `/2024/…` as `2024/…`.
        self._is_plain = self._last < "0"
        self._is_ended = False

    def page(self) -> "Sequence[ObjectMeta]":
        """The next page, empty behind the last one; after an error the same one again."""
        quick = None if self._is_plain else self._quick()
        page = self._plain() if quick is None else quick
        if page:
            self._last = page[-1]["path"]
        return page

    def _plain(self) -> "Sequence[ObjectMeta]":
        if self._is_ended:
            return ()
        self._asked()
        page, more = self._plain_page(self._prefix, self._last)
        self._is_ended = not more
        self._is_plain = self._is_ended or not all_ours(meta["path"] for meta in page)
        return page

    def _quick(self) -> "Sequence[ObjectMeta] | None":
        """The next page as obstore tells it; None for one with names that it may have altered."""
        self._asked()
        try:
            page = self._next()
        except InvalidPathError:
            return None
        if all_ours(meta["path"] for meta in page):
            return page
        self._stream = None
        return None

    def _next(self) -> "Sequence[ObjectMeta]":
        if self._stream is None:
            directory = clean_start(self._prefix[: self._prefix.rfind("/") + 1]).rstrip("/")
            start = clean_start(self._last).rstrip("/")
            self._stream = iter(obstore.list(self._store, directory or None, offset=start or None, chunk_size=PAGE))
        try:
            return next(self._stream, ())
        except Exception:
            self._stream = None
            raise


def blobs_of(
    pages: "Iterator[Sequence[ObjectMeta]]", *, under: str, prefix: str, after: str, until: str
) -> Iterator[Blob]:
    """The blobs of a listing that are wanted, their keys without `under`; StoreError where the order is not S3's.

    SeaweedFS lists a directory before its siblings (`a/b`, then `a-b`): for keys like `YYYY/MM/DD/…` that is one order,
    for others a merge with the catalog would find what is not there.
    """
    skip, last = len(under), ""
    for page in pages:
        for meta in page:
            key = meta["path"][skip:]
            if not key:
                # The folder marker of the store's own prefix.
                continue
            if key <= after or (prefix and not key.startswith(prefix)):
                if key > prefix and key > after:
                    return
                continue
            if until and key > until:
                return
            if key < last:
                raise _disorder(last, key)
            last = key
            yield blob_of(meta, key)


def blob_of(meta: "ObjectMeta", key: str) -> Blob:
    """What obstore tells of an object, as a blob; the ETag without its quotes, for some servers send none."""
    etag = meta["e_tag"]
    return Blob(key=key, size=meta["size"], modified_at=meta["last_modified"], etag=etag.strip('"') if etag else None)


def _disorder(last: str, key: str) -> StoreError:
    hint = "narrow the listing to keys of one shape; this server does not sort others as S3 does"
    return StoreError(f"the store lists {key} behind {last}, out of byte order", hint=hint)
