"""Where an audit lists blobs and looks at one: the bucket, the directory, or an inventory report."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from imgctl.errors import BucketMissing, UsageError
from imgctl.keys import FIRST
from imgctl.ops.audit.order import Tally
from imgctl.ops.parts import Parts
from imgctl.run.scratch import Scratch
from imgctl.store.aws.inventory import open_inventory
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.pages import Page, Pages
from imgctl.store.catalog.audit import split
from imgctl.store.catalog.engine import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How to list the store and how to look at one blob; `taken_at` is when the listing was made, None if it is live."""

    pages: Pages
    head: Callable[[str], Blob | None]
    taken_at: datetime | None = None
    close: Callable[[], None] = lambda: None


def open_source(parts: Parts, *, classes: bool, tally: Tally) -> Source:
    """The store itself; BucketMissing for a directory that is not there, though rows name blobs in it."""
    store = parts.store
    scheme, _, rest = parts.settings.store.url.partition("://")
    root = Path(rest).expanduser().absolute() if scheme == "file" else None

    def pages(after: str, until: str) -> Iterator[Page]:
        if root is not None and not root.is_dir() and _has_rows(parts.catalog):
            hint = "mount it, or correct [store] url; a missing directory is not an empty store"
            raise BucketMissing(f"there is no directory {root}", hint=hint)
        for page in store.pages(after, until, asked=lambda: tally.add_work(lists=1)):
            yield page if classes else page._replace(classes=None)

    return Source(pages=pages, head=store.details if classes else store.head)


def open_report(parts: Parts, manifest: str, *, classes: bool, tally: Tally) -> Source:
    """An inventory report for the listing, and the store itself for second looks."""
    live = open_source(parts, classes=classes, tally=tally)
    scratch = Scratch("inventory")
    try:
        report = open_inventory(manifest, parts.settings.store, directory=scratch.path)
    except BaseException:
        scratch.close()
        raise
    if classes and not report.classes:
        scratch.close()
        raise UsageError("the inventory tells no storage classes", hint="leave --storage-class out, or add the field")

    def pages(after: str, until: str) -> Iterator[Page]:
        for page in report.pages(after, until):
            yield page if classes else page._replace(classes=None)

    return replace(live, pages=pages, taken_at=report.taken_at, close=scratch.close)


def _has_rows(catalog: Catalog) -> bool:
    with catalog.read() as connection:
        return split(connection, after=FIRST, until=None, rows=1) is not None
