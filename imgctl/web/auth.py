"""Authentication: bearer tokens with their scopes and rate limits, and refusal of cross-site requests."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from math import ceil
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from imgctl.config.service import ServeSettings
from imgctl.web.problem import Refusal

TOKEN_BYTES = 32
EVERYBODY = "*"
MOST_CALLERS = 10_000
MINUTE = 60.0
COOKIE = "imgctl_token"
_HOW = "Authorization: Bearer TOKEN; `imgctl serve --make-token NAME` makes one"
_SAME_SITE = {"same-origin", "none"}


class Scope(StrEnum):
    """A right of a token."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"
    EVENTS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request: a token's name, what it allows, and the only user whose images it is about (None: all users)."""

    name: str
    scopes: frozenset[Scope]
    user_id: UUID | None = None

    def owns(self, user_id: UUID) -> bool:
        """Whether it may see the images of this user."""
        return self.user_id is None or self.user_id == user_id


# Without tokens everybody on the loopback interface may do everything but erase.
ANYBODY = Caller(name="-", scopes=frozenset(Scope) - {Scope.ERASE})


class Tokens:
    """The tokens of the configuration, by their hashes."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._callers = dict(map(_parsed, lines))

    def __bool__(self) -> bool:
        return bool(self._callers)

    def caller(self, token: str) -> Caller | None:
        """Return the caller of a token. The look-up is by hash, so that its duration reveals nothing about tokens."""
        return self._callers.get(hash_of(token))


class Rates:
    """Counts requests by caller; `limit` a minute, 0 for no bound. For one thread."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, caller: str) -> float:
        """Count a request; 0 when it may pass, else in how many seconds the caller should try again."""
        if not self._limit:
            return 0.0
        now, step = self._clock(), MINUTE / self._limit
        free_at = max(self._free_at.pop(caller, 0.0), now - MINUTE + step)
        if free_at > now:
            self._free_at[caller] = free_at
            return free_at - now
        self._free_at[caller] = free_at + step
        while len(self._free_at) > MOST_CALLERS:
            self._free_at.popitem(last=False)
        return 0.0


class Auth:
    """Admits callers by the tokens of the configuration, and a bounded number of requests a minute from each."""

    def __init__(self, serve: ServeSettings) -> None:
        self.tokens = Tokens(serve.tokens)
        self._rates = Rates(serve.rate)

    def admit(self, request: Request, token: str | None, scope: Scope) -> Caller:
        """Who sends a request; Refusal for too many, for an unknown token, and for one without this scope."""
        anybody = not self.tokens and scope in ANYBODY.scopes
        caller = ANYBODY if anybody else self.tokens.caller(token) if token is not None else None
        # Without a token a caller is known by the address alone, so that guessing is slow as well.
        address = request.client.host if request.client else ""
        name = f"@{address}" if caller in (None, ANYBODY) else caller.name
        if seconds := self._rates.wait_seconds(name):
            wait = str(ceil(seconds))
            raise Refusal(429, "too many requests", hint=f"wait {wait} s", headers={"Retry-After": wait})
        if caller is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="imgctl"'}
            why = "a token is needed" if token is None else "unknown token"
            raise Refusal(401, why, hint=_HOW, headers=challenge)
        if scope not in caller.scopes:
            raise Refusal(403, f"this token may not {scope}", hint=f"use one with the scope {scope}")
        request.state.caller = caller.name
        return caller


class _Admission(SecurityBase):
    """The dependency that admits requests of one scope. One, not a chain: each costs a tenth of GET /images/ID."""

    def __init__(self, scope: Scope) -> None:
        self.model = HTTPBearer(description="A token of [serve] tokens.")
        self.scheme_name = "HTTPBearer"
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        """Who sends a request: by its header; to read, browsers may send a cookie, which they also send unasked."""
        auth: Auth = request.app.state.shared.auth
        scheme, given = get_authorization_scheme_param(request.headers.get("authorization"))
        token = given if given and scheme.lower() == "bearer" else None
        if self._scope is Scope.READ:
            return auth.admit(request, token or request.cookies.get(COOKIE), self._scope)
        if auth.tokens or not from_elsewhere(request):
            return auth.admit(request, token, self._scope)
        raise Refusal(403, "a page of another site sent this", hint="send it from an application, or from this server")


Reader = Annotated[Caller, Depends(_Admission(Scope.READ))]
Writer = Annotated[Caller, Depends(_Admission(Scope.WRITE))]
Eraser = Annotated[Caller, Depends(_Admission(Scope.ERASE))]
Teller = Annotated[Caller, Depends(_Admission(Scope.EVENTS))]


def check_user(caller: Caller, user_id: UUID) -> None:
    """Raise Refusal if a token of one user is used for another user's images."""
    if not caller.owns(user_id):
        raise Refusal(403, f"this token is about the images of {caller.user_id} only", hint="use a token of that user")


def check_everybody(caller: Caller, scope: Scope) -> None:
    """Raise Refusal if a token of one user is used for a request about all users."""
    if caller.user_id is not None:
        raise Refusal(403, "this token is about one user only", hint=f"use one for all users: NAME:{scope}:*:HASH")


def from_elsewhere(request: Request) -> bool:
    """Whether a page of another site caused a browser to send this request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in _SAME_SITE
    origin = request.headers.get("origin")
    return origin is not None and _split(origin).netloc != request.headers.get("host")


def is_loopback(host: str) -> bool:
    """Whether a host name or address, with or without a port, can only be this machine."""
    name = _split(f"//{host}").hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _split(url: str) -> SplitResult:
    """What a client sent as a URL, taken apart; nothing where it is none, as with one bracket only."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def new_token(name: str, *, scopes: Iterable[Scope], user_id: UUID | None) -> tuple[str, str]:
    """A new token and the line for `[serve] tokens` that admits it."""
    token, wanted = secrets.token_urlsafe(TOKEN_BYTES), set(scopes)
    allowed = "+".join(scope for scope in Scope if scope in wanted)
    return token, f"{name}:{allowed}:{user_id or EVERYBODY}:{hash_of(token)}"


def hash_of(token: str) -> str:
    """SHA-256 in hex; a token has 256 random bits, so that no slower hash would protect it better."""
    return hashlib.sha256(token.encode()).hexdigest()


def _parsed(line: str) -> tuple[str, Caller]:
    name, scopes, user, digest = line.split(":")
    user_id = None if user == EVERYBODY else UUID(user)
    return digest, Caller(name=name, scopes=frozenset(map(Scope, scopes.split("+"))), user_id=user_id)
