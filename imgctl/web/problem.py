"""Refusals as the standards mean them: problem+json (RFC 9457) with the next step."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from imgctl.errors import (
    BlobArchived,
    BlobCorrupt,
    BlobExists,
    BlobMissing,
    CatalogError,
    ImageMissing,
    ImageRejected,
    ImgctlError,
    KeyShapeError,
    NotAnImage,
    StoreError,
    UsageError,
)

PROBLEM = "application/problem+json"
RETRY_SECONDS = 5

# The first that fits; what is left of catalog and store is down, or cannot do its work: the same request later can.
_STATUSES: tuple[tuple[type[ImgctlError], int], ...] = (
    (ImageMissing, 404),
    (NotAnImage, 415),
    (ImageRejected, 422),
    (KeyShapeError, 422),
    (BlobCorrupt, 422),
    (UsageError, 422),
    (BlobMissing, 409),
    (BlobArchived, 409),
    (BlobExists, 409),
    (CatalogError, 503),
    (StoreError, 503),
)
_LATER = "send the same request again later: it finishes what this one began"


class Refusal(Exception):
    """A request that is answered with a problem; `hint` is the next step."""

    def __init__(self, status: int, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})


def problem(refusal: Refusal) -> JSONResponse:
    """The answer to a refused request."""
    body = {"title": HTTPStatus(refusal.status).phrase, "status": refusal.status, "detail": refusal.detail}
    if refusal.hint:
        body["hint"] = refusal.hint
    headers = {"Cache-Control": "no-store"} | refusal.headers
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", str(RETRY_SECONDS))
    return JSONResponse(body, status_code=refusal.status, media_type=PROBLEM, headers=headers)


def refusal_of(error: ImgctlError) -> Refusal:
    """What an error of imgctl means to a client."""
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        # What exactly is down, and where, is for the log.
        what = "catalog" if isinstance(error, CatalogError) else "store"
        return Refusal(status, f"the {what} cannot be reached or refuses", hint=_LATER)
    return Refusal(status, error.message, hint=error.hint)


async def on_refusal(_request: Request, error: Exception) -> JSONResponse:
    """Answer a Refusal."""
    assert isinstance(error, Refusal)
    return problem(error)


async def on_imgctl_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the operations."""
    assert isinstance(error, ImgctlError)
    return problem(refusal_of(error))


async def on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    return problem(Refusal(error.status_code, str(error.detail), headers=error.headers))


async def on_invalid(_request: Request, error: Exception) -> JSONResponse:
    """Answer a request whose parameters or body do not read as they should."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    status = 400 if first["type"] == "json_invalid" else 422
    return problem(Refusal(status, f"{where}: {first['msg']}", hint="GET /openapi.json says what is expected"))


async def on_bug(_request: Request, _error: Exception) -> JSONResponse:
    """Answer what nobody expected."""
    return problem(Refusal(500, "something is wrong with this server", hint="its log says more; please report it"))
