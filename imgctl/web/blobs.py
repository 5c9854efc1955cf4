"""Variants of a store that is a directory, served under links that this server signed."""

from email.utils import formatdate
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from imgctl.errors import ImageMissing
from imgctl.model import Variant, VariantFormat
from imgctl.ops.receive.direct import owned
from imgctl.store.blobs.local import LocalStore
from imgctl.web.face import OwnFace
from imgctl.web.images import ImageId
from imgctl.web.model import refusals
from imgctl.web.show import unchanged

router = APIRouter(tags=["images"])

_TYPES = {one.extension: one.content_type for one in VariantFormat}


@router.get(
    "/blobs/{image_id}/{variant}",
    response_class=Response,
    responses={
        200: {"content": {kind: {} for kind in _TYPES.values()}, "description": "The variant's bytes."},
        206: {"description": "The bytes that Range asks for."},
        304: {"description": "The client has it."},
        416: {"description": "Range asks for bytes behind the end."},
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
    store = face.parts.store
    assert isinstance(store, LocalStore)
    file = store.file(key)
    found = file.stat()
    headers = {
        "Cache-Control": f"private, max-age={left}, immutable",
        "ETag": f'"{image.recipe}-{variant}"',
        "Last-Modified": formatdate(found.st_mtime, usegmt=True),
    }
    kind = _TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    return unchanged(request, headers) or FileResponse(file, media_type=kind, headers=headers, stat_result=found)
