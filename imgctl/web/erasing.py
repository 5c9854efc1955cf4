"""DELETE /images/ID: erases one image as `imgctl erase ID --yes` does, for tokens with the scope `erase`."""

from threading import Event
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from imgctl.errors import ExitCode, ImgctlError
from imgctl.ops.common.operation_record import Recording
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.erase.options import EraseOrder, Fate, Outcome
from imgctl.ops.erase.start import erase
from imgctl.ops.receive_image import missing
from imgctl.store.catalog.queries.erased import erasures
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.web.app_state import AppState, state_of
from imgctl.web.auth import Caller, Eraser
from imgctl.web.images import ImageId
from imgctl.web.problem import Refusal
from imgctl.web.schemas import refusals, was_owned

router = APIRouter(tags=["images"])


class ErasureAnswer(BaseModel):
    """The state of an erasure: `erased` once nothing is left, `erasing` while a writer may still put a blob of it."""

    id: UUID
    state: Literal["erased", "erasing"]
    blobs: int
    bytes: int
    detail: str


@router.delete(
    "/images/{image_id}",
    response_model=ErasureAnswer,
    responses={
        200: {"description": "The image is erased, by this request or an earlier one."},
        202: {"model": ErasureAnswer, "description": "The image is gone; repeat the request to erase what is left."},
        **refusals(404, 409, 501),
    },
)
async def erase_image(image_id: ImageId, request: Request, caller: Eraser) -> Response:
    """Erase an image for good: its row, and every blob and version of it. Repeating the request is harmless.

    `imgctl erase ID --receipt FILE` writes a receipt, also afterwards.
    """
    state = state_of(request)
    return await state.write(lambda: _erased(state, caller, image_id))


def _erased(state: AppState, caller: Caller, image_id: UUID) -> Response:
    order = EraseOrder(ids=(image_id,), secret=state.settings.secret, wait_seconds=0.0)
    if not order.secret:
        raise Refusal(501, "this server has no secret to sign receipts with", hint="set [serve] secret, and keep it")
    owner = _owner(state, caller, image_id)
    scope = {"images": [str(image_id)], "by": "HTTP"}
    recording = Recording("erase", scope, user_id=owner, report=None, who=f"token {caller.name}")
    recording.begin(InProcess(state.parts.catalog))
    try:
        outcomes = {one.fate: one for one in erase(state.parts, order, stop=Event())}
    except ImgctlError as error:
        recording.end(error.exit_code, {}, error.line)
        raise
    counts = {fate.value: 1 for fate in outcomes}
    refused = next((one for fate, one in outcomes.items() if fate in (Fate.HELD, Fate.LOCKED, Fate.FOREIGN)), None)
    recording.end(ExitCode.DONE if refused is None else ExitCode.PARTLY, counts)
    if refused is not None:
        may_know = refused.fate is not Fate.HELD or caller.user_id is None
        why = refused.detail if may_know else "its owner's images are held"
        raise Refusal(409, f"image {image_id} is not erased: {why}", hint="imgctl erase ID shows an operator why")
    if (waiting := outcomes.get(Fate.WAITING)) is not None:
        return _answer(waiting, "erasing", 202)
    return _answer(outcomes.get(Fate.ERASED) or outcomes[Fate.ALREADY], "erased", 200)


def _owner(state: AppState, caller: Caller, image_id: UUID) -> UUID | None:
    """Return the owner by the image's row, None once it is erased; ImageMissing if the caller may not erase it."""
    with state.parts.catalog.read() as connection:
        row, before = by_id(connection, image_id), erasures(connection, [image_id]).get(image_id)
    allowed = caller.owns(row.user_id) if row else before is not None and was_owned(state, caller, before)
    if not allowed:
        raise missing(image_id)
    return row.user_id if row else None


def _answer(one: Outcome, state: str, status: int) -> JSONResponse:
    body = {"id": one.subject, "state": state, "blobs": one.blobs, "bytes": one.bytes, "detail": one.detail}
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store"})
