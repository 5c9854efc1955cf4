"""Sending, reading and listing images; and, for a store that is a directory, variants by signed links."""

import hashlib
import logging
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from email.utils import formatdate
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette import types

from imgctl.errors import BlobMissing, ImageMissing, ImgctlError
from imgctl.model import Status, Variant, VariantFormat
from imgctl.ops.common.lookup import Listed, check_indexed, listed, pattern
from imgctl.ops.ingest.spool import Spool
from imgctl.ops.receive_image import Sent, Taken, missing, owned, take
from imgctl.ops.support.links import serving
from imgctl.store.blobs.local import LocalStore
from imgctl.store.catalog.queries.find import Sought
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.web.app_state import AppState, State, state_of
from imgctl.web.auth import Caller, Reader, Writer, check_user
from imgctl.web.body import Form, receive
from imgctl.web.middleware import HEAD
from imgctl.web.problem import Refusal
from imgctl.web.schemas import (
    CAPTION_LENGTH,
    Caption,
    ImageAnswer,
    Moment,
    PageAnswer,
    gone,
    moment,
    refusals,
    shown,
    unchanged,
    version,
)

PAGE_ROWS, MOST_ROWS = 50, 200

log = logging.getLogger(__name__)
router = APIRouter(tags=["images"])

ImageId = Annotated[UUID, Path(description="The image's id.")]


async def _user_id(user_id: Annotated[str, Path(description="The owner.")], request: Request) -> UUID:
    return state_of(request).users.id_of(user_id)


UserId = Annotated[UUID, Depends(_user_id)]
Before = Annotated[UUID | None, Query(description="The last image of the previous page.")]
FileName = Annotated[
    str | None,
    Query(
        max_length=255,
        pattern=r"^[^\x00-\x1f]*$",
        description="Beginning of the file name, or a pattern with * and ?; case is ignored.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Maximum number of images on a page.")]

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "user_id": {"type": "string"},
        "caption": {"type": "string", "maxLength": CAPTION_LENGTH},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The picture's bytes, or a form with the field `file`.",
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
    caller: Writer,
    user_id: Annotated[str | None, Query(description="The owner; default: the token's user.")] = None,
    caption: Annotated[Caption, Query()] = None,
) -> Response:
    """Store a picture. Returns once its bytes are safe; sending the same bytes again returns the same image."""
    state = state_of(request)
    if not state.receiving.take():
        raise Refusal(503, "too many uploads at once", hint="send it again in a moment", headers={"Retry-After": "1"})
    with ExitStack() as held:
        held.callback(state.receiving.give_back)
        spool = held.enter_context(closing(state.spools.open()))
        form = await receive(request, state, spool, held)
        sent = _sent(state, caller, form, user_id, caption)
        return await state.write(lambda: _taken(request, caller, spool, sent))


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The parameters of a list of images."""

    since: Moment = None
    until: Moment = None
    name: FileName = None
    taken_since: Moment = None
    taken_until: Moment = None
    status: Status | None = None
    before: Before = None
    limit: Limit = PAGE_ROWS


ListParameters = Annotated[ListQuery, Depends()]


@router.get("/images", response_model=PageAnswer, responses=refusals())
def list_all(request: Request, state: State, caller: Reader, query: ListParameters) -> Response:
    """List or find images, newest first: of all users, or of the token's user.

    Finding images of all users by name or capture time needs an index in the catalog, or `since` or `until`.
    """
    return _page(state, request, caller, caller.user_id, query)


@router.get("/users/{user_id}/images", response_model=PageAnswer, responses=refusals())
def list_user(user_id: UserId, request: Request, state: State, caller: Reader, query: ListParameters) -> Response:
    """List or find one user's images, newest first."""
    check_user(caller, user_id)
    return _page(state, request, caller, user_id, query)


@router.get(
    "/images/{image_id}",
    response_model=ImageAnswer,
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "The version, for If-None-Match."}}},
        304: {"description": "The client has this version."},
        307: {"description": "With `width`: a redirect to the variant.", **_LOCATION},
        **refusals(404, 409, 410),
    },
)
async def get(
    image_id: ImageId,
    request: Request,
    caller: Reader,
    width: Annotated[int | None, Query(ge=1, le=100_000, description="Redirect to the smallest such variant.")] = None,
) -> Response:
    """Return an image: its row and a link for each variant.

    With `width`, redirect to the smallest variant at least that wide, else to the widest.
    """
    state = state_of(request)
    found = await state.lookups.get(image_id)
    if found is None:
        raise await run_in_threadpool(gone, state, caller, image_id)
    image = found.image
    if not caller.owns(image.user_id):
        raise missing(image_id)
    if width is None:
        headers = {"ETag": version(state, found), "Cache-Control": "private, no-cache"}
        return unchanged(request, headers) or JSONResponse(shown(found, caller), headers=headers)
    try:
        url = str(found.variants[serving(image, state.links.recipe, width=width)]["url"])
    except ImgctlError as error:
        raise Refusal(409, error.message, hint=f"GET /images/{image.id}/events reports when it is ready") from None
    headers = {"Cache-Control": f"private, max-age={state.links.seconds // 2}"}
    return RedirectResponse(url, status_code=307, headers=headers)


def owner(state: AppState, caller: Caller, user: str | None) -> UUID:
    """Return the owner of an upload: `user`, else the token's user; Refusal for neither, or one the token excludes."""
    chosen = state.users.id_of(user) if user else caller.user_id
    if chosen is None:
        raise Refusal(422, "no owner given", hint="POST /images?user_id=UUID")
    check_user(caller, chosen)
    return chosen


def _sent(state: AppState, caller: Caller, form: Form, user: str | None, caption: str | None) -> Sent:
    text = caption or form.fields.get("caption")
    if text and len(text) > CAPTION_LENGTH:
        raise Refusal(422, "the caption is too long", hint=f"at most {CAPTION_LENGTH} characters")
    user_id = owner(state, caller, user or form.fields.get("user_id"))
    return Sent(user_id=user_id, caption=text, name=form.name)


def _taken(request: Request, caller: Caller, spool: Spool, sent: Sent) -> Response:
    state = state_of(request)
    taken = take(state.parts, spool, sent, budget=state.budget, recogniser=state.recogniser)
    if taken.created:
        state.metrics.received(spool.size)
    return image_answer(request, caller, taken)


def image_answer(request: Request, caller: Caller, taken: Taken) -> Response:
    """Return the response for an image that was created or found; the access log names it with the token."""
    state = state_of(request)
    request.state.image = str(taken.image.id)
    seen = state.seen(taken.image, taken.hold)
    headers = {"Location": f"/images/{seen.image.id}", "ETag": version(state, seen), "Cache-Control": "no-store"}
    return JSONResponse(shown(seen, caller), status_code=201 if taken.created else 200, headers=headers)


def _page(state: AppState, request: Request, caller: Caller, user_id: UUID | None, query: ListQuery) -> Response:
    scope = Scope(user_id=user_id, since=moment(query.since), until=moment(query.until))
    sought = Sought(
        status=query.status,
        name=pattern(query.name) if query.name else None,
        taken_since=moment(query.taken_since),
        taken_until=moment(query.taken_until),
    )
    check_indexed(state.parts.catalog, sought, scope, agreed=False)
    page = Listed(scope=scope, sought=sought, before=query.before, limit=query.limit)
    images = state.see(listed(state.parts.catalog, page))
    following = None
    if len(images) == query.limit:
        # Ages are written as times: the window of the next page is the same.
        times = {
            "since": scope.since,
            "until": scope.until,
            "taken_since": sought.taken_since,
            "taken_until": sought.taken_until,
        }
        absolute = {name: at.isoformat() for name, at in times.items() if at is not None}
        parameters = asdict(query) | absolute | {"before": str(images[-1].image.id)}
        given = {name: value for name, value in parameters.items() if value and name != "limit"}
        following = f"{request.url.path}?{urlencode(given | {'limit': str(query.limit)})}"
    # Not the link itself, which changes with each request for an age.
    tag = hashlib.sha256("".join((*(version(state, one) for one in images), str(following is None))).encode())
    headers = {"ETag": f'W/"{tag.hexdigest()[:32]}"', "Cache-Control": "private, no-cache"}
    if (known := unchanged(request, headers)) is not None:
        return known
    return JSONResponse({"images": [shown(one, caller) for one in images], "next": following}, headers=headers)


blobs = APIRouter(tags=["images"])
_TYPES = {one.extension: one.content_type for one in VariantFormat}


@blobs.get(
    "/blobs/{image_id}/{variant}",
    operation_id="blobs_get",
    response_class=Response,
    responses={
        200: {"content": {kind: {} for kind in _TYPES.values()}, "description": "The variant's bytes."},
        206: {"description": "The requested range."},
        304: {"description": "The client has this version."},
        416: {"description": "The range lies beyond the end."},
        **refusals(404),
    },
)
def get_blob(
    image_id: ImageId,
    variant: Variant,
    request: Request,
    state: State,
    expires: Annotated[int, Query(ge=0, le=2**40)],
    signature: Annotated[str, Query(max_length=64)],
) -> Response:
    """Fetch a variant by a link from this server. Only the signature counts: no token is needed."""
    left = state.links.check(image_id, variant, expires=expires, signature=signature)
    image = owned(state.parts, image_id)
    key = image.key(variant)
    if key is None:
        raise ImageMissing(f"image {image_id} has no {variant}", hint="GET /images/{id} lists its variants")
    store = state.parts.store
    assert isinstance(store, LocalStore)
    try:
        file = store.file(key)
    except BlobMissing as error:
        # Logged and not returned: the error contains the path, and anyone may have got the link.
        log.warning("%s", error.line)
        raise ImageMissing(
            f"the {variant} of image {image_id} is lost", hint="imgctl audit, then imgctl repair"
        ) from None
    found = file.stat()
    headers = {
        "Cache-Control": f"private, max-age={left}, immutable",
        "ETag": f'"{image.recipe}-{variant}"',
        "Last-Modified": formatdate(found.st_mtime, usegmt=True),
    }
    kind = _TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    return unchanged(request, headers) or _File(file, media_type=kind, headers=headers, stat_result=found)


class _File(FileResponse):
    """A file, which is not opened for HEAD."""

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        await super().__call__({**scope, "method": "HEAD"} if scope.get(HEAD) else scope, receive, send)
