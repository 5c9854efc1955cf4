"""One run of an export: blobs missing at the target are fetched, checked and written, then the bag is completed."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import TypeAlias

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.dates import EPOCH
from imgctl.errors import StateError, StoreError, UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status
from imgctl.ops.common.checkpoint import counted, load_state, save_state, state_file
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import Failures, StopSignal, read
from imgctl.ops.common.rows import Chosen, pages
from imgctl.ops.common.tally import Tally
from imgctl.ops.export.bag import Bag, record_of
from imgctl.ops.export.blobs import Wanted, deliver
from imgctl.ops.export.names import PAYLOAD, paths, variant_path
from imgctl.ops.export.options import ExportOrder, Fate, Outcome, shares_endpoint
from imgctl.ops.export.sinks import BucketSink, DirectorySink, Sink, Written
from imgctl.ops.export.state import JOURNALS, Completion, State
from imgctl.ops.export.zips import ZipSink
from imgctl.run.budgets import bounded
from imgctl.run.limits import return_large_buffers
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.open import local_roots, open_store
from imgctl.store.catalog.queries.aggregates import count_since
from imgctl.store.catalog.queries.lookups import Scope, by_ids, clock

_STRANGERS_SHOWN = 20
_Item: TypeAlias = "tuple[Wanted, Written | None] | Outcome"
_Ended: TypeAlias = tuple[Outcome, Written | None]
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(slots=True, kw_only=True)
class ExportJob:
    """An export and its results; `complete` once the bag is whole; `strangers` are files in it that don't belong to it.

    `newer` counts images that a bag completed by an earlier run lacks, because they were uploaded since.
    """

    parts: Parts
    order: ExportOrder
    stop: StopSignal
    tally: Tally[Fate] = field(default_factory=lambda: Tally(Fate))
    completion: Completion | None = None
    newer: int = 0
    strangers: tuple[str, ...] = ()
    _as_of: datetime = EPOCH
    _since: int = 0
    _blocked: int = 0

    @property
    def complete(self) -> bool:
        """Whether the bag is complete."""
        return self.completion is not None

    def is_done(self) -> bool:
        """Whether an earlier run completed this bag; UsageError if `out` has the complete bag of another export."""
        with closing(open_sink(self.parts.settings, self.order.out)) as sink:
            if not sink.is_complete():
                return False
        self.completion = done = load_state(self._file, _completion) or self._finishing()
        if done is None:
            raise UsageError(
                f"--out {self.order.out} is complete already, by another export", hint="name another --out"
            )
        if self._database.exists():
            # An earlier run was killed after the last file, before or while it recorded completion.
            self._note_complete(done)
        with self.parts.catalog.read() as connection:
            self.newer = max(0, count_since(connection, self.order.user, done.as_of) - done.since)
        return True

    def drop_erased(self) -> int:
        """Remove images that no longer exist from what an earlier run left; returns how many: a bag has no erased images."""
        if not self._database.exists():
            return 0
        count = 0
        with closing(open_sink(self.parts.settings, self.order.out)) as sink, closing(State(self._database)) as state:
            for ids in state.pages():
                known = read(self.parts.catalog, partial(by_ids, ids=ids), stop=self.stop)
                gone = set(ids) - known.keys()
                count += len(gone)
                for path, is_written in state.forget_images(gone):
                    sink.sweep(path)
                    if is_written and sink.removes:
                        sink.remove(path)
            if count and isinstance(sink, ZipSink):
                sink.begin(_kept(sink, state))
        return count

    def outcomes(self) -> Iterator[Outcome]:
        """Fetch and write missing blobs; completes the bag if nothing is missing afterwards."""
        return_large_buffers()
        self._file.unlink(missing_ok=True)
        with closing(open_sink(self.parts.settings, self.order.out)) as sink:
            with closing(State(self._database)) as state:
                sink.begin(_kept(sink, state))
                yield from self.write(sink, state)
            if self.completion is not None:
                self._note_complete(self.completion)

    def write(self, sink: Sink, state: State) -> Iterator[Outcome]:
        """Do the same as `outcomes` with an open target and state."""
        with self.parts.catalog.read() as connection:
            self._as_of = clock(connection)
        try:
            yield from self._exported(sink, state)
        finally:
            # Files must be on disk before the state records them as written.
            sink.sync()
        if not self.stop.is_set():
            self._drop_gone(sink, state)
            self._finish(sink, state)

    @property
    def _file(self) -> Path:
        """The file that records a complete bag."""
        settings, order = self.parts.settings, self.order
        variants = ",".join(order.variants)
        return state_file(
            "export", [absolute(order.out), settings.catalog.url, settings.store.url, str(order.user), variants]
        )

    @property
    def _database(self) -> Path:
        return self._file.with_suffix(".db")

    def _finishing(self) -> Completion | None:
        if not self._database.exists():
            return None
        with closing(State(self._database)) as state:
            return state.completion

    def _note_complete(self, done: Completion) -> None:
        save_state(self._file, {**asdict(done), "as_of": done.as_of.isoformat()})
        # A kill may have left SQLite's journal, which it deletes only with the next write.
        for file in (*(Path(f"{self._database}{ending}") for ending in JOURNALS), self._database):
            file.unlink(missing_ok=True)

    def _exported(self, sink: Sink, state: State) -> Iterator[Outcome]:
        limit = self.parts.requests
        failures = Failures(limit)
        with thread_pool(limit, name="export") as pool:

            def submit(item: _Item) -> Future[_Ended]:
                return pool.submit(self._one, item, sink, state, failures)

            for item, future in bounded(submit, self._items(sink, state), limit=limit, stop=self.stop):
                outcome, written = future.result()
                if not isinstance(item, Outcome):
                    self._note(state, item[0], outcome, written)
                if state.is_due:
                    _save(sink, state)
                self.tally.count(outcome.fate, size=outcome.bytes)
                self._blocked += outcome.blocks
                yield outcome
                if failures.over is not None:
                    raise failures.over

    def _items(self, sink: Sink, state: State) -> Iterator[_Item]:
        """Yield every wanted blob with its earlier result, or an outcome if there is nothing to fetch."""
        chosen = Chosen(scope=Scope(user_id=self.order.user))
        for page in pages(self.parts.catalog, chosen, stop=self.stop):
            items = [item for image in page for item in self._items_of(image, state)]
            # Names are saved before files are written: after a kill the next run uses the same names.
            _save(sink, state)
            yield from items

    def _items_of(self, image: Image, state: State) -> Iterator[_Item]:
        record = record_of(image)
        if image.status is Status.UPLOADING or not image.original_key:
            why = "its upload is not finished: no bytes are known to be safe"
            state.leave_out(image.id, ORIGINAL, why, record=record)
            yield Wanted(image=image, role=ORIGINAL, key=image.original_key or "", path="").outcome(
                Fate.UNFINISHED, why
            )
            return
        self._since += image.promised_at >= self._as_of
        at = image.taken_at or image.uploaded_at
        path = state.place(image.id, ORIGINAL, paths(image), at=at, record=record)
        yield Wanted(image=image, role=ORIGINAL, key=image.original_key, path=path), state.written(image.id, ORIGINAL)
        for role in self.order.variants:
            if key := image.key(role):
                place = state.place(image.id, role, [variant_path(path, role, key)], at=at)
                yield Wanted(image=image, role=role, key=key, path=place), state.written(image.id, role)
            else:
                why = f"{image.status}: {image.error}" if image.error else "not built yet"
                # The file of an earlier run is removed with the others that are gone.
                if state.written(image.id, role) is None:
                    state.leave_out(image.id, role, why, record=record)
                yield Wanted(image=image, role=role, key="", path="").outcome(Fate.UNFINISHED, why)

    def _one(self, item: _Item, sink: Sink, state: State, failures: Failures) -> _Ended:
        """Fetch one blob to its path, unless it exists there; runs in a thread."""
        if isinstance(item, Outcome):
            return item, None
        wanted, known = item
        if known is not None and sink.holds(wanted.path, size=known.size):
            return wanted.outcome(Fate.PRESENT, size=known.size), known

        def ahead(written: Written) -> None:
            # A file that a killed run wrote is known to the next one, which removes it once its image is erased.
            if sink.removes:
                state.note_ahead(wanted.image.id, wanted.role, written)

        outcome, found = deliver(self.parts.store, wanted, sink, ahead=ahead)
        failures.record(found if isinstance(found, StoreError) else None)
        return outcome, found if isinstance(found, Written) else None

    def _note(self, state: State, wanted: Wanted, outcome: Outcome, written: Written | None) -> None:
        if written is not None:
            state.note(wanted.image.id, wanted.role, written)
        else:
            state.leave_out(wanted.image.id, wanted.role, outcome.detail, record=record_of(wanted.image))

    def _drop_gone(self, sink: Sink, state: State) -> None:
        """Remove files of images and variants that ceased to exist in this run, or whose variant did since an earlier one."""
        found = False
        while gone := state.gone():
            found = True
            for image, role, path in gone:
                if sink.removes:
                    sink.remove(path)
                state.forget(image, role)
        if found and isinstance(sink, ZipSink):
            sink.cut(state.keep_until(sink.size()))
            state.save()
            message = "files in the unfinished ZIP no longer exist in the archive: it was cut before the first of them"
            raise StateError(message, hint="run the same command again")
        state.save()

    def _finish(self, sink: Sink, state: State) -> None:
        if self._blocked and not self.order.partial:
            return
        others = (path for path in sink.others(PAYLOAD) if not state.has(path))
        self.strangers = tuple(nsmallest(_STRANGERS_SHOWN, others))
        if not self.strangers:
            completion = state.set_finishing(as_of=self._as_of, since=self._since)
            Bag(sink, state, user=self.order.user, variants=self.order.variants).finish()
            self.completion = completion


def _save(sink: Sink, state: State) -> None:
    """Save the state once the files that it calls written are on disk."""
    sink.sync()
    state.save()


def _kept(sink: Sink, state: State) -> int:
    """Return how many bytes of an unfinished ZIP are whole members of this export; 0 for other targets.

    None are if an export with other options has begun the file again.
    """
    if not isinstance(sink, ZipSink):
        return 0
    end = state.keep_until(sink.size())
    last = state.member_before(end)
    return end if last is None or sink.has(last) else state.keep_until(0)


def _completion(*, as_of: str, since: int, left_out: int) -> Completion:
    return Completion(as_of=datetime.fromisoformat(as_of), since=counted(since), left_out=counted(left_out))


def open_sink(settings: Settings, out: str) -> Sink:
    """Open a directory, a FILE.zip, or s3://BUCKET/PREFIX at the endpoint and with the credentials of the store.

    From a store at Google or Azure the bucket is at the endpoint of the AWS chain. UsageError for any other target, and
    for one inside the store.
    """
    if out.startswith("s3://"):
        store = settings.store.url.rstrip("/")
        endpoint_url = settings.store.endpoint_url if shares_endpoint(store) else ""
        if f"{out.rstrip('/')}/".startswith(f"{store}/") or f"{store}/".startswith(f"{out.rstrip('/')}/"):
            raise UsageError(f"--out {out} is in the store itself, {store}", hint="name another bucket")
        return BucketSink(open_store(replace(settings.store, url=out, endpoint_url=endpoint_url)), out)
    if _URL.match(out):
        raise UsageError(f"--out {out}: unknown kind of target", hint="a directory, FILE.zip or s3://BUCKET/PREFIX")
    path = Path(out)
    refuse_own(settings.store, path)
    return ZipSink(path) if path.suffix.lower() == ".zip" and not path.is_dir() else DirectorySink(path)


def refuse_own(store: StoreSettings, out: Path) -> None:
    """Raise UsageError for a file or directory inside a directory store or its archive."""
    scheme, _, place = store.url.partition("://")
    if scheme == "file" and any(out.resolve().is_relative_to(root.resolve()) for root in local_roots(store, place)):
        raise UsageError(f"--out {out} is in the store itself, {store.url}", hint="name another directory")


def absolute(out: str) -> str:
    """Return the target independent of the working directory."""
    return out.rstrip("/") if _URL.match(out) else str(Path(out).absolute())
