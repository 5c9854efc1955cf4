"""What every handler has at hand: the parts, the links, who may, and the bounds on what is held at once."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import anyio
from fastapi import Depends, Request

from imgctl.errors import StoreError
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.notify.watch import Watch
from imgctl.ops.parts import Parts
from imgctl.ops.receive.spool import PIECE_BYTES, SpoolDirectory
from imgctl.run.window import ByteBudget
from imgctl.store.blobs.base import BlobStore
from imgctl.web.links import Links
from imgctl.web.metrics import Metrics
from imgctl.web.rates import Rates
from imgctl.web.readiness import Readiness
from imgctl.web.tokens import Tokens

T = TypeVar("T")

# Threads that wait for the store; those that read the catalog are others, so that a slow store holds up no GET.
WRITERS = 32
SPOOLERS = 8
LEAST_RECEIVING = 16
MOST_STREAMS = 512


class Face:
    """One server's own state; made once, used by the event loop's thread and the threads of handlers."""

    def __init__(self, parts: Parts, cold: BlobStore, *, endpoint_url: str = "") -> None:
        serve = parts.settings.serve
        self.parts = parts
        self.cold = cold
        self.endpoint_url = endpoint_url
        self.settings = serve
        self.links = Links(parts.settings, parts.store, cold)
        self.tokens = Tokens(serve.tokens)
        self.rates = Rates(serve.rate)
        self.metrics = Metrics(parts.catalog)
        self.spools = SpoolDirectory(serve.spool)
        self.watch = Watch(parts.catalog)
        self.readiness = Readiness(parts)
        self.recogniser = Recogniser(parts.settings.work)
        # A quarter for pieces on their way into spools, the rest for what is on its way to the store.
        self.receiving = Slots(max(LEAST_RECEIVING, serve.memory // 4 // PIECE_BYTES))
        self.budget = ByteBudget(serve.memory * 3 // 4)
        self.stopping = asyncio.Event()
        self.streams = Slots(MOST_STREAMS)
        self._origin: str | None = None
        self._writers = anyio.CapacityLimiter(WRITERS)
        self._spoolers = anyio.CapacityLimiter(SPOOLERS)

    def origin(self) -> str:
        """Where pictures come from when not from here; found out once, and of a store that is away not at all."""
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

    def close(self) -> None:
        """Give back what a server holds."""
        self.watch.close()
        self.readiness.close()
        self.recogniser.close()
        self.spools.close()


class Slots:
    """A bounded number of places, for the event loop's thread alone; who finds none is told so instead of queued."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def take(self) -> bool:
        """Whether a place was free; give it back after."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Free a place."""
        self._free += 1


async def face_of(request: Request) -> Face:
    """The server that a request came to."""
    face: Face = request.app.state.face
    return face


OwnFace = Annotated[Face, Depends(face_of)]
