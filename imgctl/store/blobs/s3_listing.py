"""Listing a bucket page by page, so that a page that failed can be asked for again."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import obstore

from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.names import clean_start, just_before

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store as ObstoreS3

_PAGE = 1000


class Listing:
    """The objects whose names begin with `prefix`, in UTF-8 byte order, from about `after` on.

    Names before and behind those wanted may come too: obstore takes whole path segments only.
    """

    def __init__(self, store: "ObstoreS3", *, prefix: str, after: str) -> None:
        self._store = store
        self._directory = clean_start(prefix[: prefix.rfind("/") + 1]).rstrip("/")
        self._last = max(after, just_before(prefix) if prefix else "")
        self._stream: Iterator[Sequence[ObjectMeta]] | None = None

    def page(self) -> "Sequence[ObjectMeta]":
        """The next page, empty behind the last one; after an error the same one again."""
        if self._stream is None:
            start = clean_start(self._last).rstrip("/")
            self._stream = iter(
                obstore.list(self._store, self._directory or None, offset=start or None, chunk_size=_PAGE)
            )
        try:
            page = next(self._stream, ())
        except Exception:
            self._stream = None
            raise
        if page:
            self._last = page[-1]["path"]
        return page


def blob_of(meta: "ObjectMeta", key: str, storage_class: str | None = None) -> Blob:
    """What obstore tells of an object, as a blob; the ETag without its quotes."""
    etag = meta["e_tag"]
    return Blob(
        key=key,
        size=meta["size"],
        modified_at=meta["last_modified"],
        etag=etag.strip('"') if etag else None,
        storage_class=None if storage_class == "STANDARD" else storage_class,
    )
