"""Authentication: bearer tokens with their scopes and rate limits, and the rejection of cross-site requests."""

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
ALL_USERS = "*"
MOST_CALLERS = 10_000
MINUTE = 60.0
COOKIE = "imgctl_token"
_HOW_TO_SIGN_IN = "Authorization: Bearer TOKEN; `imgctl serve --make-token NAME` makes one"
_SAME_SITE = {"same-origin", "none"}


class Scope(StrEnum):
    """A right of a token."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"
    EVENTS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The sender of a request: the name and scopes of its token, and the user it is limited to (None: all users)."""

    name: str
    scopes: frozenset[Scope]
    user_id: UUID | None = None

    def owns(self, user_id: UUID) -> bool:
        """Whether the caller may see the images of this user."""
        return self.user_id is None or self.user_id == user_id


# The caller if no tokens are configured: any client on the loopback interface, with every scope except erase.
ANONYMOUS = Caller(name="-", scopes=frozenset(Scope) - {Scope.ERASE})


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
    """Counts requests by caller and allows `limit` a minute (0: unlimited). For one thread."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, caller: str) -> float:
        """Count a request; return 0 if it is admitted, else the seconds after which the caller may retry."""
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
    """Admits callers by the configured tokens, and a limited number of requests a minute from each."""

    def __init__(self, serve: ServeSettings) -> None:
        self.tokens = Tokens(serve.tokens)
        self._rates = Rates(serve.rate)

    def sign_in(self, request: Request, token: str) -> Caller:
        """Return the caller of a token that a browser keeps; Refusal for an unknown one, or too many requests."""
        caller = self.tokens.caller(token)
        self._count(request, caller)
        if caller is None:
            raise Refusal(401, "unknown token", hint="`imgctl serve --make-token NAME` makes one")
        return caller

    def admit(self, request: Request, token: str | None, scope: Scope) -> Caller:
        """Return the caller of a request; Refusal for too many of them, an unknown token, or one without this scope."""
        is_anonymous = not self.tokens and scope in ANONYMOUS.scopes
        caller = ANONYMOUS if is_anonymous else self.tokens.caller(token) if token is not None else None
        self._count(request, caller)
        if caller is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="imgctl"'}
            why = "a token is needed" if token is None else "unknown token"
            raise Refusal(401, why, hint=_HOW_TO_SIGN_IN, headers=challenge)
        if scope not in caller.scopes:
            raise Refusal(403, f"this token lacks the scope {scope}", hint=f"use a token with the scope {scope}")
        request.state.caller = caller.name
        return caller

    def _count(self, request: Request, caller: Caller | None) -> None:
        # Requests without a valid token are counted by address, which slows the guessing of tokens.
        address = request.client.host if request.client else ""
        name = f"@{address}" if caller is None or caller is ANONYMOUS else caller.name
        if seconds := self._rates.wait_seconds(name):
            wait = str(ceil(seconds))
            raise Refusal(429, "too many requests", hint=f"wait {wait} s", headers={"Retry-After": wait})


class _Admission(SecurityBase):
    """The dependency that admits requests of one scope.

    One dependency and not a chain: each takes a tenth of the time of GET /images/ID.
    """

    def __init__(self, scope: Scope) -> None:
        self.model = HTTPBearer(description="A token of [serve] tokens.")
        self.scheme_name = "HTTPBearer"
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        """Return the caller of a request by its Authorization header, for reading with GET also by its cookie.

        Other requests accept no cookie: browsers also send it with requests that other pages cause.
        """
        auth: Auth = request.app.state.shared.auth
        scheme, given = get_authorization_scheme_param(request.headers.get("authorization"))
        token = given if given and scheme.lower() == "bearer" else None
        if self._scope is Scope.READ and request.method == "GET":
            return auth.admit(request, token or request.cookies.get(COOKIE), self._scope)
        if auth.tokens or not is_cross_site(request):
            return auth.admit(request, token, self._scope)
        hint = "send it from an application, or from a page of this server"
        raise Refusal(403, "a page of another site sent this request", hint=hint)


Reader = Annotated[Caller, Depends(_Admission(Scope.READ))]
Writer = Annotated[Caller, Depends(_Admission(Scope.WRITE))]
Eraser = Annotated[Caller, Depends(_Admission(Scope.ERASE))]
EventSender = Annotated[Caller, Depends(_Admission(Scope.EVENTS))]


def check_user(caller: Caller, user_id: UUID) -> None:
    """Raise Refusal if a token of one user is used for another user's images."""
    if not caller.owns(user_id):
        raise Refusal(403, f"this token is limited to images of user {caller.user_id}", hint="use a token of that user")


def check_all_users(caller: Caller, scope: Scope) -> None:
    """Raise Refusal if a token of one user is used for a request about all users."""
    if caller.user_id is not None:
        raise Refusal(403, "this token is limited to one user", hint=f"use one for all users: NAME:{scope}:*:HASH")


def is_cross_site(request: Request) -> bool:
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
    """Split a URL that a client sent; its parts are empty if it is invalid, as with a single bracket."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def new_token(name: str, *, scopes: Iterable[Scope], user_id: UUID | None) -> tuple[str, str]:
    """Return a new token and the line for `[serve] tokens` that admits it."""
    token, chosen = secrets.token_urlsafe(TOKEN_BYTES), set(scopes)
    allowed = "+".join(scope for scope in Scope if scope in chosen)
    return token, f"{name}:{allowed}:{user_id or ALL_USERS}:{hash_of(token)}"


def hash_of(token: str) -> str:
    """Return the SHA-256 in hex; a token has 256 random bits, which no slower hash would protect better."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _parsed(line: str) -> tuple[str, Caller]:
    name, scopes, user, digest = line.split(":")
    user_id = None if user == ALL_USERS else UUID(user)
    return digest, Caller(name=name, scopes=frozenset(map(Scope, scopes.split("+"))), user_id=user_id)
