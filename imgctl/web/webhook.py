"""Events of a bucket, posted by its server: MinIO, Ceph, SeaweedFS, or whatever forwards S3's."""

import logging
from threading import Event

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from imgctl.errors import ConfigError
from imgctl.ops.events.shapes import BadEvent, events_in
from imgctl.ops.events.webhook import Told, take_in
from imgctl.web.answers import refusals
from imgctl.web.auth import Scope, Teller, check_everybody
from imgctl.web.problem import Refusal
from imgctl.web.state import AppState, state_of

# S3's largest message has 256 KiB; servers post one event, or a few.
MOST_BYTES = 2**20

log = logging.getLogger(__name__)
router = APIRouter(tags=["events"])


class ToldAnswer(BaseModel):
    """How many objects ended how, and how many events were of none of ours."""

    uploaded: int
    present: int
    skipped: int
    failed: int
    foreign: int


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post("/events", response_model=ToldAnswer, openapi_extra=_BODY, responses=refusals(400, 413, 501))
async def tell(request: Request, caller: Teller) -> Response:
    """Take in the objects that a bucket's events report: photos of `[listen] inbox`, and originals put by signed URLs.

    Answers once their rows are confirmed. 503 asks for the same again; what can never succeed is logged and answered with 200.
    """
    # An event names its owner by its key, or by nothing.
    check_everybody(caller, Scope.EVENTS)
    state = state_of(request)
    body = await _body(request)
    if not state.telling.take():
        raise Refusal(503, "too many events at once", hint="send them again in a moment", headers={"Retry-After": "1"})
    try:
        told = await state.write(lambda: _taken(state, body))
    finally:
        state.telling.give_back()
    if told.may_yet_succeed:
        one = next(iter(told.failed))
        raise Refusal(503, f"{one.path}: {one.detail}", hint="send the same again later")
    fates = [one.fate.value for one in told.outcomes]
    counts = {name: fates.count(name) for name in ("uploaded", "present", "skipped", "failed")}
    return JSONResponse(counts | {"foreign": told.foreign.total()}, headers={"Cache-Control": "no-store"})


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise Refusal(413, "more than 1 MiB of events", hint="post fewer at once")
    return body


def _taken(state: AppState, body: bytes) -> Told:
    try:
        told = take_in(state.parts, events_in(body), stop=Event())
    except BadEvent as error:
        raise Refusal(400, f"no events can be read: {error}", hint="post S3's event notifications") from None
    except ConfigError as error:
        raise Refusal(501, error.message, hint=error.hint) from None
    for one in told.failed:
        log.warning("%s was reported and not taken in: %s", one.path, one.detail)
    return told
