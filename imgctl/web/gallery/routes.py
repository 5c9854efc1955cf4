"""Pages for browsers: galleries, one image, the API reference, signing in."""

import hashlib
from datetime import date, timedelta
from importlib.resources import files
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from imgctl.model import Image, Status
from imgctl.ops.common.lookup import Listed, listed, pattern
from imgctl.ops.common.open import Parts
from imgctl.ops.erase.options import owner_digest
from imgctl.ops.support.overview import overview
from imgctl.store.catalog.queries.erased import count_of_owner
from imgctl.store.catalog.queries.find import Sought
from imgctl.store.catalog.queries.holds import in_force
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.web.app_state import AppState, State
from imgctl.web.auth import COOKIE, Caller, Reader, check_user, is_cross_site
from imgctl.web.gallery.pages import Filter, article, bar, detail_page, gallery, notice, page, part, tile, tiles
from imgctl.web.gallery.reference import reference
from imgctl.web.images import Before, ImageId, UserId
from imgctl.web.problem import Refusal
from imgctl.web.schemas import moment, seen_by, unchanged

PAGE_TILES = 60
COOKIE_SECONDS = 30 * 86400
_ASSETS = {
    "gallery.css": "text/css; charset=utf-8",
    "gallery.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

router = APIRouter(include_in_schema=False)

Day = Annotated[str, Query(max_length=10)]


@router.get("/users/{user_id}")
def of_user(
    user_id: UserId,
    state: State,
    caller: Reader,
    status: str = "",
    since: Day = "",
    until: Day = "",
    name: Annotated[str, Query(max_length=255)] = "",
    before: Before = None,
    *,
    parts: bool = False,
) -> Response:
    """Return the gallery of one user; with `parts` only further tiles."""
    check_user(caller, user_id)
    chosen = Filter(status=Status(status) if status in tuple(Status) else None, since=since, until=until, name=name)
    images = _listed(state, user_id, chosen, before)
    shown, more = images[:PAGE_TILES], len(images) > PAGE_TILES
    if parts:
        return part(state, tiles(state, user_id, chosen, shown, more=more))
    above = _notice(state, user_id, caller)
    return page(state, "Images", gallery(state, user_id, chosen, shown, more=more, above=above))


@router.get("/tiles/{image_id}")
def one_tile(image_id: ImageId, state: State, caller: Reader) -> Response:
    """Return one tile, for the script when its image changes."""
    return part(state, tile(state, seen_by(state, caller, image_id)))


@router.get("/view/{image_id}")
async def view(image_id: ImageId, state: State, caller: Reader, *, parts: bool = False) -> Response:
    """Return the page of one image; with `parts` only its article."""

    def work(quick: Parts) -> Response:
        image = seen_by(state, caller, image_id)
        seen = overview(quick, image, endpoint_url=state.endpoint_url)
        if parts:
            return part(state, article(state, seen, caller))
        return page(state, image.caption or "Image", detail_page(state, seen, caller))

    return await state.read(work)


@router.get("/docs")
def docs(request: Request, state: State) -> Response:
    """Return the API reference."""
    return page(state, "The HTTP API of imgctl", reference(request.app.openapi()))


@router.get("/")
def home(state: State, user: str = "") -> Response:
    """Return the home page, which leads to a user's gallery."""
    if user:
        return RedirectResponse(f"/users/{state.users.id_of(user)}", status_code=303)
    body = f"""{bar()}<main class="home"><h1>Images of a user</h1>
<form method="get" action="/"><label for="user">The user's id</label>
<input id="user" name="user" required autofocus spellcheck="false" autocomplete="off"
 placeholder="0190b2b4-0000-7000-8000-000000000001"><button type="submit">Show</button></form>
<p><a href="/docs">API reference</a></p></main>"""
    return page(state, "imgctl", body)


@router.get("/login")
def login(state: State, next: str = "/") -> Response:  # noqa: A002  # the name of the parameter in every such form
    """Return the form to sign in with a token."""
    from html import escape

    body = f"""{bar()}<main class="home"><h1>Sign in</h1>
<form method="post" action="/login">
<input class="hidden" name="username" value="imgctl" autocomplete="username" tabindex="-1" aria-hidden="true">
<label for="token">Your token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password">
<input type="hidden" name="next" value="{escape(_local(next))}"><button type="submit">Sign in</button></form></main>"""
    return page(state, "Sign in", body)


@router.post("/login")
async def signed_in(
    request: Request,
    state: State,
    token: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Keep a token in a cookie that scripts cannot read and other sites cannot send; it allows reading only."""
    if is_cross_site(request):
        raise Refusal(403, "a page of another site sent this request", hint="sign in from this server's own page")
    state.auth.sign_in(request, token)
    answer = RedirectResponse(_local(next), status_code=303)
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, token, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer


@router.get("/assets/{name}")
def asset(name: str, request: Request) -> Response:
    """Return a file that pages use."""
    if name not in _ASSETS:
        raise Refusal(404, "no such file")
    data = (files("imgctl.web.gallery") / name).read_bytes()
    headers = {"Cache-Control": "public, max-age=300", "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"'}
    return unchanged(request, headers) or Response(data, media_type=_ASSETS[name], headers=headers)


def _notice(state: AppState, user_id: UUID, caller: Caller) -> str:
    secret = state.settings.secret
    with state.parts.catalog.read() as connection:
        holds = in_force(connection, user_id)
        # Of an erased image's owner the catalog keeps only a digest, keyed by the secret.
        owner = owner_digest(user_id, secret) if secret else b""
        erasing = count_of_owner(connection, owner, erasing=True) if secret else 0
    return notice(holds, caller, erasing=erasing)


def _listed(state: AppState, user_id: UUID, chosen: Filter, before: UUID | None) -> list[Image]:
    until = _day(chosen.until)
    scope = Scope(
        user_id=user_id,
        since=moment(_iso(_day(chosen.since))),
        # The whole of the last day.
        until=moment(_iso(until + timedelta(days=1))) if until and until < date.max else None,
    )
    name = chosen.name.strip().replace("\0", "")
    sought = Sought(status=chosen.status, name=pattern(name) if name else None)
    wanted = Listed(scope=scope, sought=sought, before=before, limit=PAGE_TILES + 1)
    return list(listed(state.parts.catalog, wanted))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Refusal(422, f"invalid day: {text!r}", hint="2026-11-22") from None


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _local(path: str) -> str:
    """Return the path if it stays on this server, else the home page's."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
