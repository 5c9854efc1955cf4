"""An upload put together from the settings: the journal, the choice of files and the pipeline."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from imgctl.config import StoreSettings
from imgctl.ops.parts import Parts
from imgctl.ops.patience import Waiting
from imgctl.ops.state import state_directory
from imgctl.ops.upload.choose import chosen
from imgctl.ops.upload.journal import Journal
from imgctl.ops.upload.known import Known
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.outcome import FileOutcome
from imgctl.ops.upload.pipeline import upload
from imgctl.ops.upload.selection import Selection
from imgctl.run.memory import reuse_large_buffers

NO_JOURNAL = "none"


def upload_here(
    parts: Parts, selection: Selection, order: UploadOrder, *, journal: Path | None, stop: Waiting
) -> Iterator[FileOutcome]:
    """Upload a selection of this machine's files; see `pipeline.upload`."""
    files = chosen(replace(selection, leave_out=own_directories(parts.settings.store)))
    reuse_large_buffers()
    with ExitStack() as stack:
        remembered = Journal(journal) if journal is not None else None
        if remembered is not None:
            stack.callback(remembered.close)
        known = Known(remembered, parts.catalog, parts.settings.store.url, stop)
        yield from upload(files, order, catalog=parts.catalog, store=parts.store, known=known, stop=stop)


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
