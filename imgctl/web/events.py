"""Server-sent events: an image's states as they change, until it has ended."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from imgctl.model import Status
from imgctl.store.catalog.queries.reservations import lookup
from imgctl.web.app_state import AppState, State
from imgctl.web.auth import Reader, check_user
from imgctl.web.images import ImageId, UserId
from imgctl.web.problem import Refusal
from imgctl.web.schemas import ENDED, refusals, seen_by

# Proxies close connections that are idle for a minute.
ALIVE_SECONDS = 15.0
LONGEST_SECONDS = 600.0
MOST_WATCHED = 200

router = APIRouter(tags=["events"])
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "event": {"type": "string", "const": "image"},
        "data": {"type": "string", "description": "JSON: the image's id and its status."},
    },
}
_STREAM: dict[int | str, dict[str, object]] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "The events, until the image has ended."}
}

States = dict[UUID, Status]


@router.get("/images/{image_id}/events", response_class=StreamingResponse, responses={**_STREAM, **refusals(404, 410)})
async def of_image(image_id: ImageId, state: State, caller: Reader) -> Response:
    """Stream an image's states until it is `ready` or `failed`: events named `image` with its id and status."""
    image = await run_in_threadpool(seen_by, state, caller, image_id)
    return _stream(state, {image.id: image.status})


@router.get("/users/{user_id}/events", response_class=StreamingResponse, responses={**_STREAM, **refusals()})
async def of_user(
    user_id: UserId,
    state: State,
    caller: Reader,
    image: Annotated[list[UUID], Query(max_length=MOST_WATCHED, description="The images to watch.")],
) -> Response:
    """Stream the states of some of a user's images, until all have ended."""
    check_user(caller, user_id)
    return _stream(state, await run_in_threadpool(_states, state, user_id, image))


def _states(state: AppState, user_id: UUID | None, ids: Iterable[UUID]) -> States:
    with state.parts.catalog.read() as connection:
        found = lookup(connection, set(ids))
    return {one: status for one, (owner, status) in found.items() if user_id in (None, owner)}


def _stream(state: AppState, states: States) -> Response:
    if not state.streams.take():
        raise Refusal(503, "too many event streams", hint="poll GET /images/{id}", headers={"Retry-After": "5"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(state, _events(state, states), media_type="text/event-stream", headers=headers)


class _Stream(StreamingResponse):
    """A streamed response that frees its slot even if it is never read."""

    def __init__(
        self, state: AppState, events: AsyncIterator[str], *, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(events, media_type=media_type, headers=headers)
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.streams.give_back()


async def _events(state: AppState, states: States) -> AsyncIterator[str]:
    loop, changes = asyncio.get_running_loop(), asyncio.Queue[tuple[UUID, Status]]()

    def notify(image: UUID, status: Status) -> None:
        loop.call_soon_threadsafe(changes.put_nowait, (image, status))

    yield "retry: 2000\n\n"
    for image, status in states.items():
        yield _event(image, status)
    left = {image: status for image, status in states.items() if status not in ENDED}
    if not left:
        return
    watcher, ends = state.watch.add(left, notify), time.monotonic() + LONGEST_SECONDS
    try:
        # Read again: a change before the watcher was added is not reported.
        for image, status in (await run_in_threadpool(_states, state, None, tuple(left))).items():
            notify(image, status)
        while left and time.monotonic() < ends and not state.stopping.is_set():
            async for image, status in _next(changes, state.stopping):
                if left.get(image, status) != status:
                    yield _event(image, status)
                    left[image] = status
                if status in ENDED:
                    left.pop(image, None)
            yield ": alive\n\n"
    finally:
        state.watch.remove(watcher)


async def _next(
    changes: "asyncio.Queue[tuple[UUID, Status]]", stopping: asyncio.Event
) -> AsyncIterator[tuple[UUID, Status]]:
    """Yield the next change and those queued behind it; none after ALIVE_SECONDS, or when the server stops."""
    waits = {asyncio.ensure_future(changes.get()), asyncio.ensure_future(stopping.wait())}
    done, pending = await asyncio.wait(waits, timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for one in pending:
        one.cancel()
    for one in done:
        found = one.result()
        if isinstance(found, tuple):
            yield found
    while not changes.empty():
        yield changes.get_nowait()


def _event(image: UUID, status: Status) -> str:
    data = json.dumps({"id": str(image), "status": status})
    return f"event: image\ndata: {data}\n\n"
