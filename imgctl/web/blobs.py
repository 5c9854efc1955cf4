"""Variants of a store that is a directory, served under links that this server signed."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from imgctl.errors import ImageMissing
from imgctl.model import Variant, VariantFormat
from imgctl.ops.receive.direct import owned
from imgctl.web.face import OwnFace
from imgctl.web.images import ImageId
from imgctl.web.model import refusals
from imgctl.web.show import knows

router = APIRouter(tags=["images"])

_TYPES = {one.extension: one.content_type for one in VariantFormat}


@router.get(
    "/blobs/{image_id}/{variant}",
    response_class=Response,
    responses={
        200: {"content": {kind: {} for kind in _TYPES.values()}, "description": "The variant's bytes."},
        304: {"description": "The client has it."},
        **refusals(404),
    },
)
def get(
    image_id: ImageId,
    variant: Variant,
    request: Request,
    face: OwnFace,
    expires: Annotated[int, Query(ge=0, le=2**40)],
    signature: Annotated[str, Query(max_length=64)],
) -> Response:
    """Fetch a variant by a link from this server. Only the signature is looked at: a link is its own token."""
    left = face.links.check(image_id, variant, expires=expires, signature=signature)
    image = owned(face.parts, image_id)
    key = image.variant_key(variant)
    if key is None:
        raise ImageMissing(f"image {image_id} has no {variant}", hint="GET /images/{id} says what there is")
    tag = f'"{image.recipe}-{variant}"'
    headers = {"Cache-Control": f"private, max-age={left}, immutable", "ETag": tag}
    if knows(request, tag):
        return Response(status_code=304, headers=headers)
    kind = _TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    return Response(face.parts.store.get(key), media_type=kind, headers=headers)
