"""The shapes of requests and answers, for the OpenAPI document and for checking what comes in; and an image as one."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from imgctl.dates import in_utc
from imgctl.errors import ImageMissing, UsageError
from imgctl.model import IMAGE_COLUMNS, Image, Status, Variant, is_archived
from imgctl.ops.erase.order import owner_digest
from imgctl.ops.lookup import record
from imgctl.ops.receive import missing
from imgctl.store.catalog.erased import Erasure, erasures
from imgctl.store.catalog.holds import LegalHold
from imgctl.store.catalog.lookups import by_id
from imgctl.units import parse_seconds
from imgctl.web.auth import Caller
from imgctl.web.links import Json
from imgctl.web.problem import PROBLEM, Refusal
from imgctl.web.state import AppState, Seen

ENDED = (Status.READY, Status.FAILED)
_values = attrgetter(*IMAGE_COLUMNS)

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


class HoldAnswer(BaseModel):
    """A hold on the image's owner, of whom nobody may delete anything; who and why only for tokens of all users."""

    since: datetime
    by: str | None
    reason: str | None


class ImageAnswer(BaseModel):
    """One image: every column of its row, a link for each variant that is there, and where to ask further.

    `archived` originals are read after a restore; `hold` is null where nobody holds the owner's images.
    """

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
    name: str | None
    archived: bool
    hold: HoldAnswer | None
    variants: dict[Variant, VariantLink]
    links: dict[str, str]


class PageAnswer(BaseModel):
    """Images, newest first, and where the next page is."""

    images: list[ImageAnswer]
    next: str | None


class UploadRequest(BaseModel):
    """An original that the client will put by itself: its size in bytes and its SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid")

    user_id: str | None = Field(default=None, description="Whose it is; left out, the token's own user.")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1, le=2**53)]
    content_type: Annotated[str, Field(min_length=1, max_length=100)]
    caption: Caption = None
    name: Annotated[str | None, Field(max_length=255, description="The file name it had.")] = None


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
    410: "The image is erased, or being erased.",
    413: "The body is too large.",
    415: "This is not a picture imgctl keeps.",
    422: "A parameter or the picture itself is beyond what is allowed.",
    429: "Too many requests.",
    501: "This server is not set up for it.",
    503: "The catalog or the store is down; the same request later finishes the work.",
}


def seen_by(state: AppState, caller: Caller, image_id: UUID) -> Image:
    """The row of an image; raises `gone` where there is none that the caller may see."""
    with state.parts.catalog.read() as connection:
        image = by_id(connection, image_id)
    if image is None:
        raise gone(state, caller, image_id)
    if not caller.owns(image.user_id):
        raise missing(image_id)
    return image


def gone(state: AppState, caller: Caller, image_id: UUID) -> Refusal | ImageMissing:
    """Why there is no such image: that it is erased, for those who could see it before, and nothing for others."""
    with state.parts.catalog.read() as connection:
        erasure = erasures(connection, [image_id]).get(image_id)
    if erasure is None or not was_owned(state, caller, erasure):
        return missing(image_id)
    return Refusal(410, erasure.line, hint="nothing of it can be had back")


def was_owned(state: AppState, caller: Caller, erasure: Erasure) -> bool:
    """Whether the caller could see an image before it was erased; of one user's tokens, as far as the secret tells."""
    if caller.user_id is None:
        return True
    secret = state.settings.secret
    return bool(secret) and erasure.owner == owner_digest(caller.user_id, secret)


def hold_of(hold: LegalHold | None, caller: Caller) -> dict[str, Json] | None:
    """What a caller is told of a hold: the user whose images are held need not know who wants that and why."""
    if hold is None:
        return None
    by, reason = (hold.held_by, hold.reason) if caller.user_id is None else (None, None)
    return {"since": hold.held_at.isoformat(), "by": by, "reason": reason}


def shown(seen: Seen, caller: Caller) -> dict[str, Json]:
    """What is answered of an image."""
    image = seen.image
    links: dict[str, Json] = {"self": f"/images/{image.id}", "user": f"/users/{image.user_id}/images"}
    if image.status not in ENDED:
        links["events"] = f"/images/{image.id}/events"
    beside = {"archived": is_archived(image.storage_class), "hold": hold_of(seen.hold, caller)}
    return {**record(image), **beside, "variants": seen.variants, "links": links}


def version(state: AppState, seen: Seen) -> str:
    """The ETag of what is answered: another one for every change of the row and of holds, and before its links die.

    Weak: signed links differ from answer to answer and mean the same.
    """
    text = repr((_values(seen.image), seen.hold and seen.hold.id, state.links.window()))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


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


Moment = Annotated[
    str | None, Query(max_length=40, description="2026-11-22, 2026-11-22T10:00Z, or 24h: that long ago.")
]


def moment(text: str | None) -> datetime | None:
    """The time that a text means, UTC unless it says otherwise; Refusal for one that means none."""
    if not text:
        return None
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_seconds(text))
    except (UsageError, OverflowError):
        pass
    try:
        # A plus in a query is a blank.
        return in_utc(datetime.fromisoformat(text.replace(" ", "+") if text.count(":") > 2 else text))
    except (ValueError, OverflowError):
        raise Refusal(422, f"invalid time: {text[:40]!r}", hint="2026-11-22, 2026-11-22T10:00Z or 24h") from None
