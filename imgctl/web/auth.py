"""Who passes: a token's scope and user, requests by other sites' pages, and how many a minute."""

from ipaddress import ip_address
from math import ceil
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from imgctl.web.face import Face, OwnFace
from imgctl.web.problem import Refusal
from imgctl.web.tokens import ANYBODY, Caller, Scope

COOKIE = "imgctl_token"
_HOW = "Authorization: Bearer TOKEN; `imgctl serve --make-token NAME` makes one"
_SAME_SITE = {"same-origin", "none"}

_bearer = HTTPBearer(auto_error=False, description="A token of [serve] tokens.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def reader(request: Request, face: OwnFace, credentials: _Credentials) -> Caller:
    """Who asks to see; browsers may show a cookie instead of a header."""
    token = credentials.credentials if credentials is not None else request.cookies.get(COOKIE)
    return _admit(request, face, token, Scope.READ)


async def writer(request: Request, face: OwnFace, credentials: _Credentials) -> Caller:
    """Who asks to change something: never by a cookie, which browsers send along unasked."""
    if face.tokens or not from_elsewhere(request):
        return _admit(request, face, credentials.credentials if credentials is not None else None, Scope.WRITE)
    raise Refusal(403, "a page of another site sent this", hint="send it from an application, or from this server")


Reader = Annotated[Caller, Depends(reader)]
Writer = Annotated[Caller, Depends(writer)]


def check_user(caller: Caller, user_id: UUID) -> None:
    """Refuse one user's token what belongs to another."""
    if not caller.owns(user_id):
        raise Refusal(403, f"this token is about the images of {caller.user_id} only", hint="use a token of that user")


def from_elsewhere(request: Request) -> bool:
    """Whether a page of another site made a browser send this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in _SAME_SITE
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def is_loopback(host: str) -> bool:
    """Whether a host name or address, with or without a port, can only be this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _admit(request: Request, face: Face, token: str | None, scope: Scope) -> Caller:
    caller = _caller(face, token)
    _limit(request, face, caller)
    if caller is None:
        challenge = {"WWW-Authenticate": 'Bearer realm="imgctl"'}
        why = "a token is needed" if token is None else "nobody knows this token"
        raise Refusal(401, why, hint=_HOW, headers=challenge)
    if scope not in caller.scopes:
        raise Refusal(403, f"this token may not {scope}", hint=f"use one with the scope {scope}")
    request.state.caller = caller.name
    return caller


def _caller(face: Face, token: str | None) -> Caller | None:
    if not face.tokens:
        return ANYBODY
    return face.tokens.caller(token) if token is not None else None


def _limit(request: Request, face: Face, caller: Caller | None) -> None:
    # Who has no token is known by his address alone, so that guessing is slow as well.
    address = request.client.host if request.client else ""
    name = f"@{address}" if caller in (None, ANYBODY) else caller.name
    seconds = face.rates.wait_seconds(name)
    if seconds:
        wait = str(ceil(seconds))
        raise Refusal(429, "too many requests", hint=f"wait {wait} s", headers={"Retry-After": wait})
