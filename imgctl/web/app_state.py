"""The app state that handlers share: the parts, links, auth, readiness, and limits on what is held at once."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait  # noqa: TID251  nothing waits for these
from dataclasses import dataclass, replace
from threading import Lock
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import anyio
from fastapi import Depends, Request

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ImgctlError, StoreError
from imgctl.keys import PROBES
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import PIECE_BYTES, SpoolDirectory
from imgctl.ops.notify.state_changes import Watch
from imgctl.run.budgets import ByteBudget
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.queries.holds import LegalHold, held_among
from imgctl.store.catalog.queries.lookups import by_ids
from imgctl.users import Users
from imgctl.web.auth import Auth
from imgctl.web.links import Links, Variants
from imgctl.web.metrics import Metrics

T = TypeVar("T")

# Threads that wait for the store; others read the catalog, so that a slow store delays no GET.
WRITERS = 32
READERS = 16
# A page waits for the store at most about this long, twice: browsers and proxies give up after a minute.
PAGE_SECONDS, PAGE_RETRIES = 10.0, 1
SPOOLERS = 8
LEAST_RECEIVING = 16
MOST_STREAMS = 512
# POST /events at once: each holds one object that it reads.
MOST_EVENT_POSTS = 8
# Downloads of exports at once: each holds some 32 MiB.
MOST_EXPORTS = 4
# A key that no image has; a HEAD is the cheapest request there is.
_PROBE_KEY = f"{PROBES}ready"
READY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An image with the URLs of its variants, and the oldest hold on its owner."""

    image: Image
    variants: Variants
    hold: LegalHold | None


class AppState:
    """The state of one server; made once, used by the event loop's thread and the threads of handlers."""

    def __init__(self, parts: Parts, *, endpoint_url: str = "", key: bytes) -> None:
        serve = parts.settings.serve
        self.parts = parts
        self.endpoint_url = endpoint_url
        self.settings = serve
        self.users = Users(parts.settings.users.namespace)
        self.links = Links(parts.settings, parts.store, key=key)
        self.auth = Auth(serve)
        self.metrics = Metrics(parts.catalog)
        self.spools = SpoolDirectory(serve.spool)
        self.watch = Watch(parts.catalog)
        self.lookups = Lookups(self._look)
        self.readiness = Readiness(parts)
        self.recogniser = Recogniser(parts.settings.work)
        # A quarter of the memory for pieces to be spooled, the rest for bodies to be put.
        self.receiving = Slots(max(LEAST_RECEIVING, serve.memory // 4 // PIECE_BYTES))
        self.budget = ByteBudget(serve.memory * 3 // 4)
        self.stopping = asyncio.Event()
        self.streams = Slots(MOST_STREAMS)
        self.event_posts = Slots(MOST_EVENT_POSTS)
        self.exports = Slots(MOST_EXPORTS)
        self._origin: str | None = None
        self._pages = replace(parts, store=open_store(_for_pages(parts.settings.store)))
        self._readers = anyio.CapacityLimiter(READERS)
        self._writers = anyio.CapacityLimiter(WRITERS)
        self._exporters = anyio.CapacityLimiter(MOST_EXPORTS)
        self._spoolers = anyio.CapacityLimiter(SPOOLERS)

    def origin(self) -> str:
        """Return the origin of picture URLs of other servers; cached, empty while the store is unreachable."""
        if self._origin is None:
            try:
                self._origin = self.links.origin()
            except StoreError:
                return ""
        return self._origin

    async def spool(self, work: Callable[[], T]) -> T:
        """Run work that waits for the spool's disk in a thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._spoolers)

    async def write(self, work: Callable[[], T]) -> T:
        """Run work that waits for the store in a writer thread; a client that disconnects does not interrupt it."""
        return await anyio.to_thread.run_sync(work, limiter=self._writers)

    async def read(self, work: Callable[[Parts], T]) -> T:
        """Run work that reads the store for a page, in a reader thread; its parts do not wait long for the store."""
        return await anyio.to_thread.run_sync(work, self._pages, limiter=self._readers)

    async def export(self, work: Callable[[], T]) -> T:
        """Write an export, which a client reads for minutes, in an exporter thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._exporters)

    def see(self, images: Iterable[Image]) -> list[Seen]:
        """Return the images as responses show them; one query reads the holds of all."""
        shown = list(images)
        with self.parts.catalog.read() as connection:
            holds = held_among(connection, {image.user_id for image in shown})
        return [self.seen(image, holds.get(image.user_id)) for image in shown]

    def seen(self, image: Image, hold: LegalHold | None) -> Seen:
        """Return an image as responses show it, with the oldest hold on its owner."""
        return Seen(image, self.links.variants(image), hold)

    def _look(self, ids: Collection[UUID]) -> dict[UUID, Seen]:
        with self.parts.catalog.read() as connection:
            found = by_ids(connection, ids)
            holds = held_among(connection, {image.user_id for image in found.values()})
        # Signed in this thread: expired credentials are renewed first.
        return {image_id: self.seen(image, holds.get(image.user_id)) for image_id, image in found.items()}

    def close(self) -> None:
        """Free what the server holds."""
        self.watch.close()
        self.readiness.close()
        self.recogniser.close()
        self.spools.close()


def _for_pages(store: StoreSettings) -> StoreSettings:
    return replace(store, timeout=min(store.timeout, PAGE_SECONDS), retries=min(store.retries, PAGE_RETRIES))


class Lookups(Generic[T]):
    """Looks up images for the event loop's thread: ids requested while a look-up runs share the next one.

    A query and the switch to a thread take half of a request's time (measured: 2 of 4 ms).
    """

    def __init__(self, look: Callable[[Collection[UUID]], Mapping[UUID, T]]) -> None:
        self._look = look
        self._waiting: list[tuple[UUID, asyncio.Future[T | None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def get(self, image_id: UUID) -> T | None:
        """Return the result for an image, None if it does not exist; raises the error of the look-up."""
        result: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((image_id, result))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await result

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            found: Mapping[UUID, T] | Exception
            try:
                found = await anyio.to_thread.run_sync(self._look, {image_id for image_id, _ in batch})
            except Exception as error:
                found = error
            for image_id, result in batch:
                if result.done():
                    # Its request was cancelled.
                    continue
                if isinstance(found, Exception):
                    result.set_exception(found)
                else:
                    result.set_result(found.get(image_id))
        self._running = None


class Slots:
    """A bounded number of slots, for the event loop's thread alone; `take` fails if none is free, without waiting."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit

    def take(self, *, least_left: float = 0.0) -> bool:
        """Take a slot if more than the share `least_left` is free; return whether it did. Give it back afterwards."""
        if self._free <= self._limit * least_left:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Free a slot."""
        self._free += 1


class Readiness:
    """Checks whether catalog and store respond within three seconds; at most one check of each runs at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ready")
        self._open: dict[str, Future[None]] = {}
        self._lock = Lock()

    def wrong(self) -> dict[str, str]:
        """Return the parts that fail, with the reason, without names of hosts; empty if both respond."""
        with self._lock:
            checks = {"catalog": self._check("catalog"), "store": self._check("store")}
        wait(checks.values(), timeout=READY_SECONDS)
        return {name: text for name, future in checks.items() if (text := self._judge(future))}

    def close(self) -> None:
        """End the checks."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, name: str) -> "Future[None]":
        known = self._open.get(name)
        if known is None or known.done():
            known = self._threads.submit(self._catalog if name == "catalog" else self._store)
            self._open[name] = known
        return known

    def _judge(self, future: "Future[None]") -> str:
        if not future.done():
            return f"no response within {READY_SECONDS:.0f} s"
        error = future.exception()
        if error is None:
            return ""
        # Only the class: the text contains names of hosts.
        return type(error).__name__ if isinstance(error, ImgctlError) else "broken"

    def _catalog(self) -> None:
        with self._parts.catalog.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def _store(self) -> None:
        self._parts.store.head(_PROBE_KEY)


def state_of(request: Request) -> AppState:
    """Return the state of the server that handles a request."""
    state: AppState = request.app.state.shared
    return state


async def _state_of(request: Request) -> AppState:
    # A coroutine: FastAPI calls other functions in a thread.
    return state_of(request)


State = Annotated[AppState, Depends(_state_of)]
