"""Downloads of everything of one user: creates links that are valid for days, and serves them without a token."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from imgctl.errors import ExitCode, ImgctlError
from imgctl.model import Variant
from imgctl.ops.common.operation_record import Recording
from imgctl.ops.common.spend import terms_of
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.export.cost import estimate, survey
from imgctl.ops.export.options import LEFT_OUT, ExportOrder
from imgctl.ops.export.stream import stream
from imgctl.units import DAY_SECONDS, count_of
from imgctl.web.app_state import MOST_EXPORTS, AppState, State
from imgctl.web.auth import Reader, check_user
from imgctl.web.images import UserId
from imgctl.web.problem import Refusal
from imgctl.web.schemas import refusals

DAYS, MOST_DAYS = 7, 30
_READ_BYTES = 2**18

log = logging.getLogger(__name__)
router = APIRouter(tags=["exports"])

Days = Annotated[int, Query(ge=1, le=MOST_DAYS, description="Days for which the link is valid.")]
Also = Annotated[list[Variant] | None, Query(description="These variants as well.")]


class ExportAnswer(BaseModel):
    """A link to everything of a user, and its expiry; what a download contains now, and its cost.

    `archived` originals are left out until they are restored, and listed in its `left-out.csv`.
    """

    url: str
    expires_at: datetime
    images: int
    bytes: int
    archived: int
    cost: str
    hint: str | None


@router.post(
    "/users/{user_id}/export",
    status_code=201,
    response_model=ExportAnswer,
    responses={201: {"description": "The link is created."}, **refusals(404, 501)},
)
def link(user_id: UserId, state: State, caller: Reader, days: Days = DAYS, variants: Also = None) -> Response:
    """Create a link to download everything of a user; it is valid for some days and needs no token.

    The download is a ZIP file as `imgctl export` writes it: originals by name, chosen variants, metadata, checksums.
    """
    check_user(caller, user_id)
    if not state.settings.secret:
        raise Refusal(501, "this server has no secret to sign links with", hint="set [serve] secret, and keep it")
    order = ExportOrder(user=user_id, out="", variants=tuple(one for one in Variant if one in (variants or ())))
    terms = terms_of(state.parts.settings, endpoint_url=state.endpoint_url)
    found = survey(state.parts, order)
    url, expires = state.links.export(user_id, order.variants, seconds=days * DAY_SECONDS)
    until = datetime.fromtimestamp(expires, UTC)
    scope = {"user": str(user_id), "link until": f"{until:%Y-%m-%dT%H:%MZ}", "by": "HTTP"}
    recording = Recording("export", scope, user_id=user_id, report=None, who=f"token {caller.name}")
    recording.begin(InProcess(state.parts.catalog))
    recording.end(ExitCode.DONE, {"links": 1})
    archived = count_of(found.archived, "original")
    body = {
        "url": url,
        "expires_at": until.isoformat(),
        "images": found.whole.objects,
        "bytes": found.whole.size,
        "archived": found.archived,
        "cost": estimate(terms.card, found, order, store_url=state.parts.settings.store.url).text(terms.bill),
        "hint": f"{archived} archived: imgctl restore --user {user_id}, then download" if found.archived else None,
    }
    return JSONResponse(body, status_code=201, headers={"Cache-Control": "no-store"})


@router.get(
    "/exports/{user_id}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/zip": {}}, "description": "A bag (BagIt 1.0, RFC 8493) as a ZIP file."},
        **refusals(404),
    },
)
async def download(
    user_id: Annotated[UUID, Path(description="The owner.")],
    state: State,
    expires: Annotated[int, Query(ge=0, le=2**40)],
    signature: Annotated[str, Query(max_length=64)],
    variants: Also = None,
) -> Response:
    """Download everything of a user by a link from this server. Only the signature counts: no token is needed.

    Files that are unavailable now are listed in `left-out.csv`. An interrupted download is incomplete: start it again.
    """
    chosen = tuple(variants or ())
    state.links.check_export(user_id, chosen, expires=expires, signature=signature)
    order = ExportOrder(user=user_id, out="", variants=chosen)
    await run_in_threadpool(survey, state.parts, order)
    if not state.exports.take():
        busy = f"{count_of(MOST_EXPORTS, 'export')} are under way"
        raise Refusal(503, busy, hint="try again in some minutes", headers={"Retry-After": "60"})
    name = f"attachment; filename={user_id}.zip"
    headers = {"Cache-Control": "no-store", "Content-Disposition": name, "X-Accel-Buffering": "no"}
    pieces = _pieces(state, order)
    # Started before the response: for a client that is gone, the response would never read it, nor free the slot.
    first = await anext(pieces)
    return StreamingResponse(_chained(first, pieces), media_type="application/zip", headers=headers)


async def _chained(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


async def _pieces(state: AppState, order: ExportOrder) -> AsyncIterator[bytes]:
    """Yield the ZIP file from a pipe, which blocks the writer if it is ahead, and fails it if the client is gone."""
    stop, reader = Event(), asyncio.StreamReader(_READ_BYTES)
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        reading, writing = os.pipe()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(reading, "rb"))
    except OSError:
        # Too many open files.
        state.exports.give_back()
        raise
    written = asyncio.ensure_future(state.export(partial(_write, state, order, writing, stop)))
    # A callback: the writer ends a moment after a client that disconnects.
    written.add_done_callback(partial(_ended, state))
    stopping = asyncio.ensure_future(state.stopping.wait())
    stopping.add_done_callback(lambda _: stop.set())
    try:
        while piece := await reader.read(_READ_BYTES):
            yield piece
        if not await written:
            raise _Unfinished
    finally:
        stop.set()
        stopping.cancel()
        transport.close()


class _Unfinished(Exception):
    """Breaks the download off, so that the client sees that it is incomplete."""


def _ended(state: AppState, written: "asyncio.Future[bool]") -> None:
    state.exports.give_back()
    # After a disconnect nothing else reads the error.
    if not written.cancelled() and (error := written.exception()) is not None:
        log.warning("a download of an export ended early: %s", error)


def _write(state: AppState, order: ExportOrder, writing: int, stop: Event) -> bool:
    """Write an export into a pipe and record the operation; returns whether the export is complete."""
    scope = {"user": str(order.user), "variants": ",".join(order.variants), "by": "HTTP link"}
    recording = Recording("export", scope, user_id=order.user, report=None, who="export link")
    recording.begin(InProcess(state.parts.catalog))
    try:
        job = stream(state.parts, order, os.fdopen(writing, "wb"), state.spools, stop=stop)
    except ImgctlError as error:
        recording.end(error.exit_code, {}, error.line)
        raise
    counts = {fate.value: count for fate, count in job.tally.fates.items()}
    code = ExitCode.PARTLY if job.tally.of(*LEFT_OUT) else ExitCode.DONE
    recording.end(code if job.complete else ExitCode.INTERRUPTED, counts)
    return job.complete
