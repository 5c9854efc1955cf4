"""The app state, which every handler has: the parts, links, auth, readiness, and the bounds on what is held at once."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait  # noqa: TID251  nothing waits for these
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import anyio
from fastapi import Depends, Request

from imgctl.errors import ImgctlError, StoreError
from imgctl.keys import PROBES
from imgctl.model import Image
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import PIECE_BYTES, SpoolDirectory
from imgctl.ops.notify.watch import Watch
from imgctl.ops.parts import Parts
from imgctl.run.window import ByteBudget
from imgctl.store.catalog.holds import LegalHold, held_among
from imgctl.store.catalog.lookups import by_ids
from imgctl.users import Users
from imgctl.web.auth import Auth
from imgctl.web.links import Links, Variants
from imgctl.web.metrics import Metrics

T = TypeVar("T")

# Threads that wait for the store; those that read the catalog are others, so that a slow store holds up no GET.
WRITERS = 32
SPOOLERS = 8
LEAST_RECEIVING = 16
MOST_STREAMS = 512
# Requests with events of a bucket: each holds what it reads of one object at a time.
MOST_TELLING = 8
# Downloads of all that a user has: each holds some 32 MiB.
MOST_EXPORTS = 4
# A key that no image has; a HEAD is the cheapest request there is.
_PROBE_KEY = f"{PROBES}ready"
READY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An image with what is said of it beside its row: where its variants are, and the oldest hold on its owner."""

    image: Image
    variants: Variants
    hold: LegalHold | None


class AppState:
    """The state of one server; made once, used by the event loop's thread and the threads of handlers."""

    def __init__(self, parts: Parts, *, endpoint_url: str = "") -> None:
        serve = parts.settings.serve
        self.parts = parts
        self.endpoint_url = endpoint_url
        self.settings = serve
        self.users = Users(parts.settings.users.namespace)
        self.links = Links(parts.settings, parts.store)
        self.auth = Auth(serve)
        self.metrics = Metrics(parts.catalog)
        self.spools = SpoolDirectory(serve.spool)
        self.watch = Watch(parts.catalog)
        self.lookups = Lookups(self._look)
        self.readiness = Readiness(parts)
        self.recogniser = Recogniser(parts.settings.work)
        # A quarter for pieces on their way into spools, the rest for what is on its way to the store.
        self.receiving = Slots(max(LEAST_RECEIVING, serve.memory // 4 // PIECE_BYTES))
        self.budget = ByteBudget(serve.memory * 3 // 4)
        self.stopping = asyncio.Event()
        self.streams = Slots(MOST_STREAMS)
        self.telling = Slots(MOST_TELLING)
        self.exports = Slots(MOST_EXPORTS)
        self._origin: str | None = None
        self._writers = anyio.CapacityLimiter(WRITERS)
        self._exporters = anyio.CapacityLimiter(MOST_EXPORTS)
        self._spoolers = anyio.CapacityLimiter(SPOOLERS)

    def origin(self) -> str:
        """Where pictures come from if not from this server; asked once, empty while the store is unreachable."""
        if self._origin is None:
            try:
                self._origin = self.links.origin()
            except StoreError:
                return ""
        return self._origin

    async def spool(self, work: Callable[[], T]) -> T:
        """Do what waits for the spool's disk in a thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._spoolers)

    async def write(self, work: Callable[[], T]) -> T:
        """Do what waits for the store in a thread of its own kind; a client that leaves does not interrupt it."""
        return await anyio.to_thread.run_sync(work, limiter=self._writers)

    async def export(self, work: Callable[[], T]) -> T:
        """Write what a client reads for minutes in a thread of its own kind."""
        return await anyio.to_thread.run_sync(work, limiter=self._exporters)

    def see(self, images: Iterable[Image]) -> list[Seen]:
        """These images as they are answered; one question to the catalog for all."""
        shown = list(images)
        with self.parts.catalog.read() as connection:
            holds = held_among(connection, {image.user_id for image in shown})
        return [self._seen(image, holds) for image in shown]

    def _look(self, ids: Collection[UUID]) -> dict[UUID, Seen]:
        with self.parts.catalog.read() as connection:
            found = by_ids(connection, ids)
            holds = held_among(connection, {image.user_id for image in found.values()})
        # Signed here: a store whose credentials have expired asks for new ones first.
        return {image_id: self._seen(image, holds) for image_id, image in found.items()}

    def _seen(self, image: Image, holds: Mapping[UUID, LegalHold]) -> Seen:
        return Seen(image, self.links.variants(image), holds.get(image.user_id))

    def close(self) -> None:
        """Free what the server holds."""
        self.watch.close()
        self.readiness.close()
        self.recogniser.close()
        self.spools.close()


class Lookups(Generic[T]):
    """Looks up images for the event loop's thread: ids that come while one look-up runs share the next one.

    A statement and a thread's turn cost as much as all else that a request needs (measured: 2 of 4 ms).
    """

    def __init__(self, look: Callable[[Collection[UUID]], Mapping[UUID, T]]) -> None:
        self._look = look
        self._asked: list[tuple[UUID, asyncio.Future[T | None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def get(self, image_id: UUID) -> T | None:
        """What is found of an image, None where there is none; raises what the look-up raises."""
        answer: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._asked.append((image_id, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            found: Mapping[UUID, T] | Exception
            try:
                found = await anyio.to_thread.run_sync(self._look, {image_id for image_id, _ in asked})
            except Exception as error:
                found = error
            for image_id, answer in asked:
                if answer.done():
                    # Its request was cancelled.
                    continue
                if isinstance(found, Exception):
                    answer.set_exception(found)
                else:
                    answer.set_result(found.get(image_id))
        self._running = None


class Slots:
    """A bounded number of places, for the event loop's thread alone; who finds none is told so instead of queued."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit

    def take(self, *, least_left: float = 0.0) -> bool:
        """Whether a place was free, and more than the share `least_left` of all; give it back after."""
        if self._free <= self._limit * least_left:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Free a place."""
        self._free += 1


class Readiness:
    """Whether catalog and store answer within three seconds; at most one check of each runs at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ready")
        self._open: dict[str, Future[None]] = {}
        self._lock = Lock()

    def wrong(self) -> dict[str, str]:
        """What does not answer, and why, without names of hosts; empty when all is well."""
        with self._lock:
            asked = {"catalog": self._ask("catalog"), "store": self._ask("store")}
        wait(asked.values(), timeout=READY_SECONDS)
        return {name: text for name, future in asked.items() if (text := self._judge(future))}

    def close(self) -> None:
        """End the checks."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, name: str) -> "Future[None]":
        known = self._open.get(name)
        if known is None or known.done():
            known = self._threads.submit(self._catalog if name == "catalog" else self._store)
            self._open[name] = known
        return known

    def _judge(self, future: "Future[None]") -> str:
        if not future.done():
            return f"no answer within {READY_SECONDS:.0f} s"
        error = future.exception()
        if error is None:
            return ""
        # Its class and no more: the text names hosts, which are nobody's business here; the log has it.
        return type(error).__name__ if isinstance(error, ImgctlError) else "broken"

    def _catalog(self) -> None:
        with self._parts.catalog.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def _store(self) -> None:
        self._parts.store.head(_PROBE_KEY)


def state_of(request: Request) -> AppState:
    """The state of the server that a request came to."""
    state: AppState = request.app.state.shared
    return state


async def _state_of(request: Request) -> AppState:
    # FastAPI would call another than a coroutine in a thread.
    return state_of(request)


State = Annotated[AppState, Depends(_state_of)]
