"""An image as it is answered: its row, its links, and the version of both."""

import hashlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from imgctl.errors import ImageMissing
from imgctl.model import IMAGE_COLUMNS, Image, Status
from imgctl.ops.lookup import record
from imgctl.ops.receive.direct import owned
from imgctl.ops.support.links import offers
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
    return unchanged(request, headers) or JSONResponse(shown(face, image), headers=headers)


def unchanged(request: Request, headers: Mapping[str, str]) -> Response | None:
    """304 where the client has the version that `headers` name by ETag and perhaps Last-Modified, else None.

    If-Modified-Since counts where there is no If-None-Match, which is compared weakly (RFC 9110, section 13).
    """
    tags, since = request.headers.get("if-none-match"), request.headers.get("if-modified-since")
    if tags is not None:
        known = {one.strip().removeprefix("W/") for one in tags.split(",")}
        is_known = tags.strip() == "*" or headers["ETag"].removeprefix("W/") in known
    else:
        is_known = _is_since(headers.get("Last-Modified"), since)
    return Response(status_code=304, headers=dict(headers)) if is_known else None


def _is_since(modified: str | None, since: str | None) -> bool:
    if modified is None or since is None:
        return False
    try:
        return parsedate_to_datetime(modified) <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        # A date that is none counts as not sent.
        return False
