"""An image as it is answered: its row, its links, and the version of both."""

import hashlib
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from imgctl.errors import ImageMissing
from imgctl.model import IMAGE_COLUMNS, Image, Status
from imgctl.ops.desk.sizes import offers
from imgctl.ops.lookup import record
from imgctl.ops.receive.direct import owned
from imgctl.web.face import Face
from imgctl.web.tokens import Caller

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"

_values = attrgetter(*IMAGE_COLUMNS)
ENDED = (Status.READY, Status.FAILED)


def seen_by(face: Face, caller: Caller, image_id: UUID) -> Image:
    """The row of an image; ImageMissing also where it is another user's, who need not know that it exists."""
    image = owned(face.parts, image_id)
    if not caller.owns(image.user_id):
        raise ImageMissing(f"no image {image_id}", hint="check the id")
    return image


def shown(face: Face, image: Image) -> dict[str, Json]:
    """What is answered of an image."""
    variants: dict[str, Json] = {}
    for one in offers(image, face.parts.settings.variants.recipe()):
        url = face.links.variant(image, one.variant)
        variants[one.variant] = {"url": url, "width": one.width or None, "height": one.height or None}
    links: dict[str, Json] = {"self": f"/images/{image.id}", "user": f"/users/{image.user_id}/images"}
    if image.status not in ENDED:
        links["events"] = f"/images/{image.id}/events"
    return {**record(image), "variants": variants, "links": links}


def version(face: Face, image: Image) -> str:
    """The ETag of what is answered: another one for every change of the row, and before its links die.

    Weak: signed links differ from answer to answer and mean the same.
    """
    text = repr((_values(image), face.links.window()))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def answer(face: Face, request: Request, image: Image) -> Response:
    """The answer to a GET of an image: 304 where the client has it already."""
    tag = version(face, image)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if knows(request, tag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(shown(face, image), headers=headers)


def knows(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this version (RFC 9110 section 13.1.2: compared weakly)."""
    given = request.headers.get("if-none-match", "")
    known = {one.strip().removeprefix("W/") for one in given.split(",")}
    return given.strip() == "*" or tag.removeprefix("W/") in known
