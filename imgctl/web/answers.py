"""The shapes of requests and answers, for the OpenAPI document and for checking what comes in."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from imgctl.model import Status, Variant
from imgctl.web.problem import PROBLEM

CAPTION_LENGTH = 8000
Caption = Annotated[str | None, Field(max_length=CAPTION_LENGTH, description="What is said of the picture.")]


class Problem(BaseModel):
    """Why a request was refused (RFC 9457), and the next step."""

    title: str
    status: int
    detail: str
    hint: str | None = None


class VariantLink(BaseModel):
    """A rendered size: where it can be fetched for some minutes, and how large it is, where that is known."""

    url: str
    width: int | None
    height: int | None


class ImageAnswer(BaseModel):
    """One image: every column of its row, a link for each variant that is there, and where to ask further."""

    id: UUID
    user_id: UUID
    uploaded_at: datetime
    promised_at: datetime
    status: Status
    caption: str | None
    width: int | None
    height: int | None
    original_key: str | None
    thumb_key: str | None
    medium_key: str | None
    full_key: str | None
    sha256: str | None
    bytes: int | None
    content_type: str | None
    taken_at: datetime | None
    storage_class: str | None
    restored_until: datetime | None
    recipe: str | None
    attempts: int
    forgiven: int
    leased_until: datetime | None
    error: str | None
    variants: dict[Variant, VariantLink]
    links: dict[str, str]


class PageAnswer(BaseModel):
    """Images, newest first, and where the next page is."""

    images: list[ImageAnswer]
    next: str | None


class UploadRequest(BaseModel):
    """An original that the client will put by itself: its size in bytes and its SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID | None = Field(default=None, description="Whose it is; left out, the token's own user.")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1, le=2**53)]
    content_type: Annotated[str, Field(min_length=1, max_length=100)]
    caption: Caption = None


class PutAnswer(BaseModel):
    """Where to PUT the bytes, with exactly these headers, and until when."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class UploadAnswer(BaseModel):
    """The image that stands for the bytes; `upload` is null when they are safe already."""

    id: UUID
    upload: PutAnswer | None
    links: dict[str, str]


class HealthAnswer(BaseModel):
    """Whether a part works; `why` says what does not."""

    ok: bool
    why: dict[str, str] = {}


def refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The documentation of the refusals that an operation may answer with, 401, 403, 422, 429 and 503 among them."""
    listed = sorted({401, 403, 422, 429, 503, *statuses})
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _MEANINGS[status], "content": {PROBLEM: {"schema": schema}}, **_HEADERS.get(status, {})}
        for status in listed
    }


_WAIT = {"headers": {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds to wait."}}}
_HEADERS: dict[int, dict[str, object]] = {429: {**_WAIT}, 503: {**_WAIT}}
_MEANINGS = {
    400: "The body is malformed.",
    401: "A token is needed, or this one is unknown.",
    403: "This token may not.",
    404: "There is no such image, or it is somebody else's.",
    408: "The body came too slowly.",
    409: "Not in this state.",
    413: "The body is too large.",
    415: "This is no picture imgctl keeps.",
    422: "A parameter or the picture itself is beyond what is allowed.",
    429: "Too many requests.",
    503: "The catalog or the store is down; the same request later finishes the work.",
}
