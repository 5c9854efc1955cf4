"""An upload put together from the settings: the journal, the choice of files, the catalog and the pipeline."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from imgctl.config import Settings, StoreSettings
from imgctl.ops.checkpoint import state_directory
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.retry import StopSignal
from imgctl.ops.upload.ahead import Ahead
from imgctl.ops.upload.choose import chosen
from imgctl.ops.upload.journal import Journal
from imgctl.ops.upload.known import Known
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.pipeline import upload
from imgctl.ops.upload.selection import Selection
from imgctl.run.memory import collect_from_here, reuse_large_buffers
from imgctl.store.blobs.base import BlobStore

NO_JOURNAL = "none"


@contextmanager
def uploading(
    settings: Settings,
    selection: Selection,
    order: UploadOrder,
    *,
    store: BlobStore,
    journal: Path | None,
    stop: StopSignal,
    tell: Callable[[str], None],
) -> Iterator[Iterator[FileOutcome]]:
    """The upload of a selection of this machine's files, which goes on as its outcomes are taken; see `pipeline.upload`.

    What is wrong with the journal is told and stops nothing.

    To import and open the catalog takes longer than all else at the start, so files are read meanwhile.
    """
    files = chosen(replace(selection, leave_out=own_directories(settings.store)))
    reuse_large_buffers()
    with ExitStack() as stack:
        remembered = Journal(journal, tell=tell) if journal is not None else None
        if remembered is not None:
            stack.callback(remembered.close)
        known = Known(remembered, settings.store.url, stop)
        sidecars = SidecarFiles(follow_links=selection.follow_links)
        recogniser = stack.enter_context(closing(Recogniser(settings.work, leave_out=order.leave_out)))
        ahead = Ahead(files, order, store=store, known=known, sidecars=sidecars, recogniser=recogniser)
        stack.callback(ahead.abandon)
        from imgctl.ops.parts import open_current

        catalog = stack.enter_context(closing(open_current(settings.catalog.url)))
        collect_from_here()
        known.attach(catalog)
        yield stack.enter_context(closing(upload(ahead, order, catalog=catalog, stop=stop)))


def own_directories(store: StoreSettings) -> tuple[str, ...]:
    """The real path of a store that is a directory: nobody means to upload what was uploaded."""
    scheme, _, path = store.url.partition("://")
    return (os.path.realpath(Path(path).expanduser()),) if scheme == "file" else ()


def journal_file(setting: str) -> Path | None:
    """Where the journal is: as set, else in the user's state directory; None when there shall be none."""
    if setting == NO_JOURNAL:
        return None
    if setting:
        return Path(setting).expanduser()
    return state_directory() / "journal.db"
