"""Schemas of requests and responses, for validation and the OpenAPI document; and the response for an image."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from imgctl.dates import parse_moment
from imgctl.errors import ImageMissing, UsageError
from imgctl.model import IMAGE_COLUMNS, Image, Status, Variant, is_archived
from imgctl.ops.common.lookup import record
from imgctl.ops.erase.options import owner_digest
from imgctl.ops.receive_image import missing
from imgctl.store.catalog.queries.erased import Erasure, erasures
from imgctl.store.catalog.queries.holds import LegalHold
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.web.app_state import AppState, Seen
from imgctl.web.auth import Caller
from imgctl.web.links import Json
from imgctl.web.problem import PROBLEM, Refusal

ENDED = (Status.READY, Status.FAILED)
_values = attrgetter(*IMAGE_COLUMNS)

CAPTION_LENGTH = 8000
Caption = Annotated[str | None, Field(max_length=CAPTION_LENGTH, description="The image's caption.")]


class Problem(BaseModel):
    """The reason a request was refused (RFC 9457), and the next step."""

    title: str
    status: int
    detail: str
    hint: str | None = None


class VariantLink(BaseModel):
    """A rendered size: its URL, valid for some minutes, and its dimensions if known."""

    url: str
    width: int | None
    height: int | None


class HoldAnswer(BaseModel):
    """A hold on the image's owner, which forbids deletion; `by` and `reason` only for tokens of all users."""

    since: datetime
    by: str | None
    reason: str | None


class ImageAnswer(BaseModel):
    """One image: every column of its row, a link for each existing variant, and links to related resources.

    `archived` originals are readable after a restore; `hold` is null if the owner's images are not held.
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
    """Images, newest first, and the URL of the next page."""

    images: list[ImageAnswer]
    next: str | None


class UploadRequest(BaseModel):
    """An original that the client puts into the store itself: its size in bytes and its SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid")

    user_id: str | None = Field(default=None, description="The owner; default: the token's user.")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1, le=2**53)]
    content_type: Annotated[str, Field(min_length=1, max_length=100)]
    caption: Caption = None
    name: Annotated[str | None, Field(max_length=255, description="The original file name.")] = None


class PutAnswer(BaseModel):
    """The request that puts the bytes: URL, the exact headers, and its expiry."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class UploadAnswer(BaseModel):
    """The image of the bytes; `upload` is null when they are already safe."""

    id: UUID
    upload: PutAnswer | None
    links: dict[str, str]


class HealthAnswer(BaseModel):
    """Whether the server works; `why` lists the failed parts with the reason."""

    ok: bool
    why: dict[str, str] = {}


def refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the OpenAPI responses for an operation's refusals, 401, 403, 422, 429 and 503 included."""
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
    403: "The token lacks the scope, or is limited to another user.",
    404: "The image does not exist, or belongs to another user.",
    408: "The body arrived too slowly.",
    409: "The state of the image or the kind of store does not allow it.",
    410: "The image is erased, or being erased.",
    413: "The body is too large.",
    415: "The body is not a picture, or is of a format that imgctl does not keep.",
    422: "A parameter is invalid, or the picture exceeds a limit.",
    429: "Too many requests.",
    501: "This server is not configured for it.",
    503: "The catalog or the store is down; the same request later finishes the work.",
}


def seen_by(state: AppState, caller: Caller, image_id: UUID) -> Image:
    """Return the row of an image; raises the error of `gone` if the caller can see no such row."""
    with state.parts.catalog.read() as connection:
        image = by_id(connection, image_id)
    if image is None:
        raise gone(state, caller, image_id)
    if not caller.owns(image.user_id):
        raise missing(image_id)
    return image


def gone(state: AppState, caller: Caller, image_id: UUID) -> Refusal | ImageMissing:
    """Return the error for an image that is not found: 410 for callers who could see it before its erasure, else 404."""
    with state.parts.catalog.read() as connection:
        erasure = erasures(connection, [image_id]).get(image_id)
    if erasure is None or not was_owned(state, caller, erasure):
        return missing(image_id)
    return Refusal(410, erasure.line, hint="an erased image cannot be restored")


def was_owned(state: AppState, caller: Caller, erasure: Erasure) -> bool:
    """Whether the caller could see an image before it was erased; for a token of one user this needs the secret."""
    if caller.user_id is None:
        return True
    secret = state.settings.secret
    return bool(secret) and erasure.owner == owner_digest(caller.user_id, secret)


def hold_of(hold: LegalHold | None, caller: Caller) -> dict[str, Json] | None:
    """Return a hold for a response; `by` and `reason` are null for a token of one user."""
    if hold is None:
        return None
    by, reason = (hold.held_by, hold.reason) if caller.user_id is None else (None, None)
    return {"since": hold.held_at.isoformat(), "by": by, "reason": reason}


def shown(seen: Seen, caller: Caller) -> dict[str, Json]:
    """Return the response for an image."""
    image = seen.image
    links: dict[str, Json] = {"self": f"/images/{image.id}", "user": f"/users/{image.user_id}/images"}
    if image.status not in ENDED:
        links["events"] = f"/images/{image.id}/events"
    more = {"archived": is_archived(image.storage_class), "hold": hold_of(seen.hold, caller)}
    return {**record(image), **more, "variants": seen.variants, "links": links}


def version(state: AppState, seen: Seen) -> str:
    """Return the ETag of an image's response; it changes with the row and the holds, and before the links expire.

    Weak: signed links differ between responses but are equivalent.
    """
    text = repr((_values(seen.image), seen.hold and seen.hold.id, state.links.window()))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def unchanged(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Return 304 if the client has the version that `headers` name by ETag and perhaps Last-Modified, else None.

    If-Modified-Since counts only without If-None-Match, which is compared weakly (RFC 9110, section 13).
    """
    # A list may come in several lines.
    tags, since = ", ".join(request.headers.getlist("if-none-match")), request.headers.get("if-modified-since")
    if tags:
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
    except (ValueError, TypeError, OverflowError):
        # An invalid date is ignored.
        return False


# A plus in a query string is decoded as a space: `2026-11-22T10:00 01:00`.
_SPACED_OFFSET = re.compile(r"^(.+[T ][\d:.]+) (\d\d(?::?\d\d)?)$")
Moment = Annotated[
    str | None, Query(max_length=40, description="2026-11-22, 2026-11-22T10:00Z, or 24h for 24 hours ago.")
]


def moment(text: str | None) -> datetime | None:
    """Parse a time, UTC without a zone; raises Refusal for invalid text."""
    if not text:
        return None
    try:
        return parse_moment(_SPACED_OFFSET.sub(r"\1+\2", text))
    except UsageError:
        hint = "2026-11-22, 2026-11-22T10:00Z or 24h; + is %2B in a URL"
        raise Refusal(422, f"invalid time: {text[:40]!r}", hint=hint) from None
