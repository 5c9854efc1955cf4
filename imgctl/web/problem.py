"""Error responses: problem+json (RFC 9457) with the next step, or a page for browsers."""

import logging
from collections.abc import Mapping, Sequence
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from imgctl.errors import (
    BlobArchived,
    BlobCorrupt,
    BlobExists,
    BlobMissing,
    CatalogError,
    FormatUnsupported,
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

# The first match counts. Other errors of catalog and store are outages: the same request may succeed later.
_STATUSES: tuple[tuple[type[ImgctlError], int], ...] = (
    (ImageMissing, 404),
    (NotAnImage, 415),
    (FormatUnsupported, 415),
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
PAGE_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_LATER = "send the same request again later: it finishes what this one began"

log = logging.getLogger(__name__)


class Refusal(Exception):
    """The error response to a request; `hint` is the next step."""

    def __init__(self, status: int, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))


def problem(refusal: Refusal) -> JSONResponse:
    """Return the response to a refused request."""
    body = {"title": HTTPStatus(refusal.status).phrase, "status": refusal.status, "detail": refusal.detail}
    if refusal.hint:
        body["hint"] = refusal.hint
    headers = {"Cache-Control": "no-store"} | refusal.headers
    return JSONResponse(body, status_code=refusal.status, media_type=PROBLEM, headers=headers)


def refusal_of(error: ImgctlError) -> Refusal:
    """Return the refusal for an error of imgctl."""
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        # The details go to the log: clients need not know hosts.
        what = "catalog" if isinstance(error, CatalogError) else "store"
        return Refusal(status, f"the {what} is unreachable or refuses the request", hint=_LATER)
    return Refusal(status, error.message, hint=error.hint)


def on_page(_request: Request, refusal: Refusal) -> HTMLResponse:
    """Return a refusal as a small page."""
    title = HTTPStatus(refusal.status).phrase
    text = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="/assets/gallery.css"></head><body><header class="bar"><a class="brand" href="/">imgctl</a>
</header><main class="home"><h1>{title}</h1><p>{escape(refusal.detail)}</p><p class="soft">{escape(refusal.hint)}</p>
</main></body></html>"""
    headers = {"Content-Security-Policy": PAGE_POLICY, **refusal.headers}
    return HTMLResponse(text, status_code=refusal.status, headers=headers)


def answered(request: Request, refusal: Refusal) -> Response:
    """Return the response to a refused request; a browser gets a page: to sign in, or with the error."""
    if "text/html" not in request.headers.get("accept", ""):
        return problem(refusal)
    if refusal.status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        target = quote(f"{request.url.path}?{request.url.query}".rstrip("?"))
        return RedirectResponse(f"/login?next={target}", status_code=303)
    return on_page(request, refusal)


async def on_error(request: Request, error: Exception) -> Response:
    """Return the response for an exception: a refusal, an error of imgctl or of the framework, or an unexpected one."""
    match error:
        case Refusal():
            refusal = error
        case ImgctlError():
            refusal = refusal_of(error)
            if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.warning("%s %s: %s", request.method, request.url.path, error.line)
        case HTTPException():
            headers = dict(error.headers or {})
            if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                # The framework names the methods of the first route with this path only.
                headers["Allow"] = ", ".join(sorted(_methods(request)))
            refusal = Refusal(error.status_code, str(error.detail), headers=headers)
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            status = 400 if first["type"] == "json_invalid" else 422
            refusal = Refusal(status, f"{where}: {first['msg']}", hint="see GET /openapi.json")
        case _:
            refusal = Refusal(500, "internal server error", hint="see the server's log, and please report it")
    return answered(request, refusal)


def _methods(request: Request) -> set[str]:
    known: Sequence[Route] = request.app.routes
    found = (one for one in known if one.matches(request.scope)[0] is not Match.NONE)
    return {method for one in found for method in one.methods or ()}
