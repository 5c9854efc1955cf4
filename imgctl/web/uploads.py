"""Direct uploads: the client puts the bytes into the store; this server only promises and confirms the row."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from imgctl.ops.receive_image import Announced, Granted, complete, grant
from imgctl.units import format_bytes
from imgctl.web.app_state import AppState, State
from imgctl.web.auth import Caller, Writer
from imgctl.web.images import ImageId, image_answer, owner
from imgctl.web.links import Json
from imgctl.web.problem import Refusal
from imgctl.web.schemas import ImageAnswer, UploadAnswer, UploadRequest, refusals, seen_by

router = APIRouter(tags=["direct uploads"])


@router.post(
    "/uploads",
    status_code=201,
    response_model=UploadAnswer,
    responses={
        200: {"model": UploadAnswer, "description": "This user has this picture already; there is nothing to put."},
        201: {"description": "The image is promised: PUT its bytes, then complete."},
        **refusals(400, 409, 413, 415),
    },
)
async def announce(upload: UploadRequest, request: Request, state: State, caller: Writer) -> Response:
    """Promise an image and get a signed PUT for its bytes.

    The store rejects a second PUT and, except for Azure, other bytes.
    """
    return await state.write(lambda: _promised(upload, request, state, caller))


def _promised(upload: UploadRequest, request: Request, state: AppState, caller: Caller) -> Response:
    user_id = owner(state, caller, upload.user_id)
    if state.parts.settings.store.url.startswith("file://"):
        raise Refusal(409, "this store takes no direct uploads", hint="send the bytes to POST /images")
    if upload.bytes > state.settings.max_bytes:
        limit = format_bytes(state.settings.max_bytes)
        raise Refusal(413, f"more than {limit}", hint="send a smaller picture, or raise [serve] max_bytes")
    announced = Announced(
        user_id=user_id,
        sha256=bytes.fromhex(upload.sha256),
        bytes=upload.bytes,
        content_type=upload.content_type,
        caption=upload.caption,
        name=upload.name,
    )
    granted = grant(state.parts, announced, seconds=state.links.seconds)
    request.state.image = str(granted.id)
    body, status = _answer(state, granted), 200 if granted.put is None else 201
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store"})


@router.post(
    "/uploads/{image_id}/complete",
    response_model=ImageAnswer,
    responses={
        200: {"description": "The image was complete already."},
        201: {"model": ImageAnswer, "description": "The bytes are safe; workers build the variants."},
        **refusals(404, 409, 410, 415),
    },
)
async def finish(image_id: ImageId, request: Request, state: State, caller: Writer) -> Response:
    """Complete an upload after its PUT: check the size, the SHA-256 and that it is a picture, and confirm the row."""

    def work() -> Response:
        taken = complete(state.parts, seen_by(state, caller, image_id), state.recogniser)
        return image_answer(request, caller, taken)

    return await state.write(work)


def _answer(state: AppState, granted: Granted) -> dict[str, Json]:
    links: dict[str, Json] = {"image": f"/images/{granted.id}"}
    if granted.put is None:
        return {"id": str(granted.id), "upload": None, "links": links}
    links["complete"] = f"/uploads/{granted.id}/complete"
    upload: dict[str, Json] = {
        "method": "PUT",
        "url": granted.put.url,
        "headers": {**granted.put.headers},
        "expires_at": (datetime.now(UTC) + timedelta(seconds=state.links.seconds)).isoformat(),
    }
    return {"id": str(granted.id), "upload": upload, "links": links}
