"""POST /events: bucket events from MinIO, Ceph or SeaweedFS, or S3's from a forwarder."""

import logging

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from imgctl.errors import ConfigError
from imgctl.ops.common.retry import NoRetry
from imgctl.ops.events.arrivals import EventOutcomes, take_in
from imgctl.ops.events.event_formats import BadEvent, events_in
from imgctl.web.app_state import AppState, state_of
from imgctl.web.auth import EventSender, Scope, check_all_users
from imgctl.web.problem import Refusal
from imgctl.web.schemas import refusals

# S3's largest message has 256 KiB; servers post one event, or a few.
MOST_BYTES = 2**20

log = logging.getLogger(__name__)
router = APIRouter(tags=["events"])


class EventsAnswer(BaseModel):
    """Counts of objects by outcome; `foreign` counts events that do not concern this archive."""

    uploaded: int
    present: int
    skipped: int
    failed: int
    foreign: int


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post("/events", response_model=EventsAnswer, openapi_extra=_BODY, responses=refusals(400, 413, 501))
async def receive(request: Request, caller: EventSender) -> Response:
    """Take in the objects that a bucket's events report: photos of `[listen] inbox`, and originals put by signed URLs.

    Returns once their rows are confirmed. 503 means: send the same events again. Objects that can never succeed are
    logged, and don't fail the request.
    """
    # The owner of an object is known by its key at most: a token of one user cannot be checked.
    check_all_users(caller, Scope.EVENTS)
    state = state_of(request)
    body = await _body(request)
    if not state.event_posts.take():
        raise Refusal(503, "too many events at once", hint="send them again in a moment", headers={"Retry-After": "1"})
    try:
        taken = await state.write(lambda: _taken(state, body))
    finally:
        state.event_posts.give_back()
    if taken.may_yet_succeed:
        one = next(iter(taken.failed))
        raise Refusal(503, f"{one.path}: {one.detail}", hint="send the same events again later")
    fates = [one.fate.value for one in taken.outcomes]
    counts = {name: fates.count(name) for name in ("uploaded", "present", "skipped", "failed")}
    return JSONResponse(counts | {"foreign": taken.foreign.total()}, headers={"Cache-Control": "no-store"})


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise Refusal(413, "more than 1 MiB of events", hint="post fewer at once")
    return body


def _taken(state: AppState, body: bytes) -> EventOutcomes:
    try:
        # The sender repeats the request: an early 503 serves it better than a wait for the catalog.
        taken = take_in(state.parts, events_in(body), stop=NoRetry())
    except BadEvent as error:
        raise Refusal(400, f"invalid events: {error}", hint="post S3's event notifications") from None
    except ConfigError as error:
        raise Refusal(501, error.message, hint=error.hint) from None
    for one in taken.failed:
        log.warning("%s was reported but not taken in: %s", one.path, one.detail)
    return taken
