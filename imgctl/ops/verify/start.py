"""A verification put together from the settings: the choice of files, who reads them, and what checks them."""

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace

from imgctl.config.settings import Settings
from imgctl.ops.ingest.original import Prepared
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.parts import open_parts
from imgctl.ops.retry import StopSignal
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.listed import looked
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.already import AlreadyUploaded
from imgctl.ops.upload.choose import chosen
from imgctl.ops.upload.journal import Journal
from imgctl.ops.upload.order import Selection, UploadOrder
from imgctl.ops.upload.prepare import Preparing, prepared
from imgctl.ops.upload.start import DISTANT_READERS, journal_file, own_directories
from imgctl.ops.verify.check import Against, Checker, Hashed, is_bucket
from imgctl.run.limits import reuse_large_buffers
from imgctl.run.threads import thread_pool
from imgctl.run.window import ByteBudget, bounded
from imgctl.store.catalog.engine import Catalog

BATCH = 64
BATCH_BYTES = 64 * 2**20
MOST_READERS = 8

Chunk = list[SourceFile | FileOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOrder:
    """Against what to verify; which files an upload would take is said as for it.

    With `trust_journal` a file that is unchanged since it was uploaded is not read. One whose source has an ETag for it
    never is.
    """

    against: Against = Against.STORE
    trust_journal: bool = False
    upload: UploadOrder = field(default_factory=UploadOrder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One under way: every file's fate as it is known, and where the catalog and the store are, without passwords."""

    outcomes: Iterator[FileOutcome]
    places: dict[str, str]


@contextmanager
def verifying(
    settings: Settings, selection: Selection, order: VerifyOrder, *, stop: StopSignal, tell: Callable[[str], None]
) -> Iterator[Verification]:
    """The fate of every file of a selection: see Checker; what an upload would leave out is SKIPPED, or FAILED.

    Nothing is changed. After `stop` no file is begun.
    """
    with ExitStack() as stack:
        sources = stack.enter_context(closing(Sources(settings, follow_links=selection.follow_links)))
        files = chosen(replace(selection, leave_out=own_directories(settings.store)), sources)
        reuse_large_buffers()
        readers = DISTANT_READERS if sources.distant else min(MOST_READERS, os.cpu_count() or 1)
        parts = stack.enter_context(open_parts(settings))
        journal = journal_file(settings.upload.journal)
        is_kept = journal is not None and journal.exists()
        remembered = stack.enter_context(closing(Journal(journal, tell=tell))) if journal and is_kept else None
        opened: Future[Catalog] = Future()
        opened.set_result(parts.catalog)
        reading = _Reading(
            how=Preparing(
                recogniser=stack.enter_context(closing(Recogniser(settings.work, leave_out=order.upload.leave_out))),
                prefix=settings.store.originals_prefix,
                order=order.upload,
            ),
            budget=ByteBudget(settings.upload.memory),
            already=AlreadyUploaded(remembered, settings.store.url, opened, stop=stop),
            trust_journal=order.trust_journal,
            md5=is_bucket(parts) and order.against is Against.STORE,
        )
        pool = stack.enter_context(thread_pool(readers, name="read"))
        requests = stack.enter_context(thread_pool(parts.requests, name="look"))
        checker = Checker(parts, against=order.against, pool=requests, stop=stop)

        def outcomes() -> Generator[FileOutcome]:
            chunks = bounded(
                lambda chunk: pool.submit(reading.read, chunk), _chunks(files), limit=readers + 1, stop=stop
            )
            for _, future in chunks:
                away, hashed = future.result()
                yield from away
                if hashed:
                    yield from checker.outcomes(hashed)

        places = {
            "catalog": parts.catalog.place,
            "store": settings.store.url,
            "endpoint_url": settings.store.endpoint_url,
        }
        yield Verification(outcomes=stack.enter_context(closing(outcomes())), places=places)


def _chunks(files: Iterable[SourceFile | FileOutcome]) -> Iterator[Chunk]:
    """Files in batches: large enough for one query each, small enough for the progress bar to move."""
    chunk, size = Chunk(), 0
    for one in files:
        chunk.append(one)
        size += 0 if isinstance(one, FileOutcome) else one.size
        if len(chunk) >= BATCH or size >= BATCH_BYTES:
            yield chunk
            chunk, size = Chunk(), 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Reads files as an upload would, in any thread."""

    how: Preparing
    budget: ByteBudget
    already: AlreadyUploaded
    trust_journal: bool
    md5: bool

    def read(self, chunk: Chunk) -> tuple[list[FileOutcome], list[Hashed]]:
        """What an upload would not take, and the contents of the others."""
        seen = [one if isinstance(one, FileOutcome) else looked(one) for one in chunk]
        away = [one for one in seen if isinstance(one, FileOutcome)]
        found = [one for one in seen if not isinstance(one, FileOutcome)]
        known = self.already.known([one for one in found if one.pinned or self.trust_journal])
        hashed = [
            Hashed(path=path, user_id=user, sha256=entry.sha256, size=entry.found.size, from_journal=True)
            for (user, path), entry in known.items()
            if user is not None
        ]
        for one in prepared([one for one in found if (one.user_id, one.path) not in known], self.how, self.budget):
            if isinstance(one, FileOutcome):
                away.append(one)
            else:
                hashed.append(self._hashed(one))
        return away, hashed

    def _hashed(self, one: Prepared[SourceFile]) -> Hashed:
        # A larger file was put in parts, whose ETag differs from an MD5.
        md5 = (
            hashlib.md5(one.body, usedforsecurity=False).hexdigest() if self.md5 and isinstance(one.body, bytes) else ""
        )
        if one.spool is not None:
            one.spool.close()
        self.budget.release(one.held)
        return Hashed(path=one.path, user_id=one.row.user_id, sha256=one.row.sha256, size=one.row.bytes, md5=md5)
