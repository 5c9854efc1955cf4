"""Images: send one, look at one, list them."""

import hashlib
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from imgctl.errors import ImgctlError
from imgctl.model import Status
from imgctl.ops.lookup import Listed, listed
from imgctl.ops.receive.spool import Spool
from imgctl.ops.receive.take import Sent, take
from imgctl.store.catalog.lookups import Scope
from imgctl.web.body import Form, receive
from imgctl.web.face import Face, OwnFace
from imgctl.web.gate import Reader, Writer, check_user
from imgctl.web.model import CAPTION_LENGTH, Caption, ImageAnswer, PageAnswer, refusals
from imgctl.web.problem import Refusal
from imgctl.web.show import answer, seen_by, shown, unchanged, version
from imgctl.web.times import Moment, moment
from imgctl.web.tokens import Caller

PAGE_ROWS, MOST_ROWS = 50, 200

router = APIRouter(tags=["images"])

ImageId = Annotated[UUID, Path(description="The image's id.")]
UserId = Annotated[UUID, Path(description="The owner's id.")]
Before = Annotated[UUID | None, Query(description="The last image of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="How many images a page has at most.")]

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "user_id": {"type": "string", "format": "uuid"},
        "caption": {"type": "string", "maxLength": CAPTION_LENGTH},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The picture's bytes as they are, or a form with the field `file`.",
        "content": {"application/octet-stream": _BYTES, "image/*": _BYTES, "multipart/form-data": {"schema": _FORM}},
    }
}
_LOCATION = {"headers": {"Location": {"schema": {"type": "string"}, "description": "The image."}}}


@router.post(
    "/images",
    status_code=201,
    response_model=ImageAnswer,
    openapi_extra=_BODY,
    responses={
        200: {"model": ImageAnswer, "description": "This user has this picture already.", **_LOCATION},
        201: {"description": "The bytes are safe; workers build the variants.", **_LOCATION},
        **refusals(400, 408, 409, 413, 415),
    },
)
async def send(
    request: Request,
    face: OwnFace,
    caller: Writer,
    user_id: Annotated[UUID | None, Query(description="Whose it is; left out, the token's own user.")] = None,
    caption: Annotated[Caption, Query()] = None,
) -> Response:
    """Take in a picture. Answers once its bytes are safe; the same bytes again answer with the same image."""
    if not face.receiving.take():
        raise Refusal(503, "too many uploads at once", hint="send it again in a moment", headers={"Retry-After": "1"})
    spool = face.spools.open()
    try:
        form = await receive(request, face, spool)
        sent = _sent(caller, form, user_id, caption)
        return await face.write(lambda: _taken(face, spool, sent))
    finally:
        face.receiving.give_back()
        spool.close()


@router.get("/images", response_model=PageAnswer, responses=refusals())
def list_all(
    request: Request,
    face: OwnFace,
    caller: Reader,
    since: Moment = None,
    until: Moment = None,
    status: Status | None = None,
    before: Before = None,
    limit: Limit = PAGE_ROWS,
) -> Response:
    """List images, newest first: everybody's, or those of the token's own user."""
    scope = Scope(user_id=caller.user_id, since=moment(since), until=moment(until))
    asked = {"since": since, "until": until, "status": status}
    wanted = Listed(scope=scope, status=status, before=before, limit=limit)
    return _page(face, request, "/images", wanted, asked)


@router.get("/users/{user_id}/images", response_model=PageAnswer, responses=refusals())
def list_user(
    user_id: UserId,
    request: Request,
    face: OwnFace,
    caller: Reader,
    since: Moment = None,
    until: Moment = None,
    status: Status | None = None,
    before: Before = None,
    limit: Limit = PAGE_ROWS,
) -> Response:
    """List one user's images, newest first."""
    check_user(caller, user_id)
    scope = Scope(user_id=user_id, since=moment(since), until=moment(until))
    asked = {"since": since, "until": until, "status": status}
    wanted = Listed(scope=scope, status=status, before=before, limit=limit)
    return _page(face, request, f"/users/{user_id}/images", wanted, asked)


@router.get(
    "/images/{image_id}",
    response_model=ImageAnswer,
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "The version, for If-None-Match."}}},
        304: {"description": "The client has this version."},
        307: {"description": "With `width`: where the variant is.", **_LOCATION},
        **refusals(404, 409),
    },
)
def get(
    image_id: ImageId,
    request: Request,
    face: OwnFace,
    caller: Reader,
    width: Annotated[int | None, Query(ge=1, le=100_000, description="Go to the smallest variant so wide.")] = None,
) -> Response:
    """Look at an image: its row and a link for each variant; with `width` go to the smallest variant that serves."""
    image = seen_by(face, caller, image_id)
    if width is None:
        return answer(face, request, image)
    try:
        url = face.links.serving(image, width)
    except ImgctlError as error:
        raise Refusal(409, error.message, hint=f"GET /images/{image.id}/events tells when it is ready") from None
    headers = {"Cache-Control": f"private, max-age={face.links.seconds // 2}"}
    return RedirectResponse(url, status_code=307, headers=headers)


def owner(caller: Caller, user_id: UUID | None) -> UUID:
    """Whose an upload is: as said, else the token's own user; Refusal when nobody says or the token may not."""
    chosen = user_id or caller.user_id
    if chosen is None:
        raise Refusal(422, "nobody says whose picture this is", hint="POST /images?user_id=UUID")
    check_user(caller, chosen)
    return chosen


def _sent(caller: Caller, form: Form, user_id: UUID | None, caption: str | None) -> Sent:
    try:
        user_id = user_id or (UUID(form.fields["user_id"].strip()) if form.fields.get("user_id") else None)
    except ValueError:
        raise Refusal(422, "user_id is no UUID", hint="8-4-4-4-12 hex digits") from None
    said = caption or form.fields.get("caption")
    if said and len(said) > CAPTION_LENGTH:
        raise Refusal(422, "the caption is too long", hint=f"{CAPTION_LENGTH} characters are kept")
    return Sent(user_id=owner(caller, user_id), caption=said, name=form.name)


def _taken(face: Face, spool: Spool, sent: Sent) -> Response:
    taken = take(face.parts, spool, sent, budget=face.budget, recogniser=face.recogniser)
    if taken.created:
        face.metrics.received(spool.size)
    return image_answer(face, taken.id, status=201 if taken.created else 200)


def image_answer(face: Face, image_id: UUID, *, status: int) -> Response:
    """The answer to a request that made or found an image."""
    image = seen_by(face, Caller(name="", scopes=frozenset()), image_id)
    headers = {"Location": f"/images/{image.id}", "ETag": version(face, image), "Cache-Control": "no-store"}
    return JSONResponse(shown(face, image), status_code=status, headers=headers)


def _page(face: Face, request: Request, path: str, wanted: Listed, asked: dict[str, str | None]) -> Response:
    images = list(listed(face.parts.catalog, wanted))
    following = None
    if len(images) == wanted.limit:
        query = {name: value for name, value in asked.items() if value} | {"before": str(images[-1].id)}
        following = f"{path}?{urlencode(query | {'limit': str(wanted.limit)})}"
    tag = hashlib.sha256("".join((*(version(face, image) for image in images), following or "")).encode())
    headers = {"ETag": f'W/"{tag.hexdigest()[:32]}"', "Cache-Control": "private, no-cache"}
    if (known := unchanged(request, headers)) is not None:
        return known
    return JSONResponse({"images": [shown(face, image) for image in images], "next": following}, headers=headers)
