"""Assembly of an upload from the settings: the choice of files, the journal, the catalog and the loop."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.ops.common.checkpoint import state_directory
from imgctl.ops.common.open import opening
from imgctl.ops.common.operation_record import begin_current
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.transactions import Transactions
from imgctl.ops.ingest.loop import Ingest, IngestOrder
from imgctl.ops.ingest.original import Prepared
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources, looked
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.journal import Entry, Journal
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.upload.prepare_file import Preparing, prepared
from imgctl.ops.upload.unchanged import AlreadyUploaded
from imgctl.run.budgets import ByteBudget
from imgctl.run.limits import collect_from_here, raise_open_files, reuse_large_buffers
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import local_roots

log = logging.getLogger(__name__)

NO_JOURNAL = "none"
LOCAL_CHUNK = 256


@contextmanager
def uploading(
    settings: Settings,
    selection: Selection,
    order: UploadOrder,
    *,
    store: BlobStore,
    journal: Path | None,
    stop: StopSignal,
    report: Callable[[str], None],
) -> Iterator[Iterator[FileOutcome]]:
    """Upload a selection of files; the upload advances as the caller iterates over the outcomes; see `ingest.loop`.

    Journal errors are reported through `report` and don't stop the upload.
    """
    with closing(Sources(settings, follow_links=selection.follow_links)) as sources:
        files = chosen(replace(selection, leave_out=own_directories(settings.store)), sources)
        readers, chunk = sources.reading(readers=0, chunk=LOCAL_CHUNK)
        how = Taking(
            order=order, readers=readers, chunk=chunk, journal=journal, report=report, create=not order.dry_run
        )
        with taking(settings, files, how, store=store, stop=stop) as outcomes:
            yield outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """How files are ingested: readers (0: adaptive), files per chunk, the journal file, the callback for its errors.

    `catalog` is used instead of that in the settings, and left open; with `create` that one is made if it is missing.
    """

    order: UploadOrder
    readers: int = 0
    chunk: int = LOCAL_CHUNK
    journal: Path | None = None
    report: Callable[[str], None] = log.warning
    catalog: Transactions | None = None
    create: bool = False


@contextmanager
def taking(
    settings: Settings,
    files: Iterable[SourceFile | FileOutcome | None],
    how: Taking,
    *,
    store: BlobStore,
    stop: StopSignal,
) -> Iterator[Iterator[FileOutcome]]:
    """Ingest files from any iterable; None among them means that there are no more for now."""
    with ExitStack() as stack:
        raise_open_files()
        reuse_large_buffers()
        remembered = Journal(how.journal, report=how.report) if how.journal is not None else None
        if remembered is not None:
            stack.callback(remembered.close)
        catalog = how.catalog or stack.enter_context(closing(opening(settings, create=how.create)))
        opened: Future[Transactions] = Future()
        # If the catalog never opens, readers that wait for it end with CancelledError.
        stack.callback(opened.cancel)
        order = how.order
        already = AlreadyUploaded(remembered, settings.store.url, opened, stop=stop, leave_out=order.leave_out)
        stack.callback(already.flush)
        preparing = Preparing(
            recogniser=stack.enter_context(closing(Recogniser(settings.work, leave_out=order.leave_out))),
            prefix=settings.store.originals_prefix,
            order=order,
        )
        ingest = Ingest(
            files,
            partial(_read, already, preparing),
            _ingest_order(settings, how),
            store=store,
            stop=stop,
            safe=lambda found: already.remember(
                Entry(found=one.source, sha256=one.row.sha256, image=image) for one, image in found
            ),
        )
        stack.callback(ingest.close)
        ingest.start()
        catalog.open()
        begin_current(catalog)
        collect_from_here()
        opened.set_result(catalog)
        yield stack.enter_context(closing(ingest.outcomes(catalog)))


def _ingest_order(settings: Settings, how: Taking) -> IngestOrder:
    return IngestOrder(
        concurrency=settings.upload.concurrency,
        readers=how.readers,
        chunk=how.chunk,
        memory_bytes=settings.upload.memory,
        rate_bytes=settings.upload.bwlimit,
        limit=how.order.limit,
        dry_run=how.order.dry_run,
    )


def _read(
    already: AlreadyUploaded, preparing: Preparing, chunk: Sequence[SourceFile], budget: ByteBudget
) -> Iterator[Sequence[Prepared[SourceFile] | FileOutcome]]:
    """Prepare the files of a chunk that are not uploaded yet; the others end as outcomes."""
    seen, refused = looked(chunk)
    yield refused
    present, unread = already.split(seen)
    yield present
    for found, one in zip(unread, prepared(unread, preparing, budget), strict=True):
        if isinstance(one, FileOutcome):
            already.remember_stray(found, one)
        yield (one,)


def own_directories(store: StoreSettings) -> tuple[str, ...]:
    """Return the real paths of a directory store's blobs and archive, which are not uploaded again."""
    scheme, _, path = store.url.partition("://")
    return tuple(map(os.path.realpath, local_roots(store, path))) if scheme == "file" else ()


def journal_file(setting: str) -> Path | None:
    """Return the journal's path: as set, else in the user's state directory; None if it is disabled."""
    if setting == NO_JOURNAL:
        return None
    if setting:
        return Path(setting).expanduser()
    return state_directory() / "journal.db"
