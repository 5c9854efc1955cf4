"""Who may do what: bearer tokens, of which only the hashes are known here."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from imgctl.errors import ConfigError

TOKEN_BYTES = 32
EVERYBODY = "*"


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request: a token's name, what it allows, and whose images alone it is about (None: anybody's)."""

    name: str
    scopes: frozenset[Scope]
    user_id: UUID | None = None

    def owns(self, user_id: UUID) -> bool:
        """Whether images of this user are its business."""
        return self.user_id is None or self.user_id == user_id


# Without tokens whoever reaches the loopback interface may do everything.
ANYBODY = Caller(name="-", scopes=frozenset(Scope))


class Tokens:
    """The tokens of the configuration, by their hashes."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._callers = dict(map(_parsed, lines))

    def __bool__(self) -> bool:
        return bool(self._callers)

    def caller(self, token: str) -> Caller | None:
        """Whose token this is. A look-up by its hash: how long it takes says nothing about any token."""
        return self._callers.get(hash_of(token))


def new_token(name: str, *, scopes: Iterable[Scope], user_id: UUID | None) -> tuple[str, str]:
    """A new token and the line for `[serve] tokens` that admits it."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    allowed = "+".join(scope for scope in Scope if scope in set(scopes))
    return token, f"{name}:{allowed}:{user_id or EVERYBODY}:{hash_of(token)}"


def hash_of(token: str) -> str:
    """SHA-256 in hex; a token has 256 random bits, so that no slower hash would protect it better."""
    return hashlib.sha256(token.encode()).hexdigest()


def _parsed(line: str) -> tuple[str, Caller]:
    name, scopes, user, digest = line.split(":")
    try:
        user_id = None if user == EVERYBODY else UUID(user)
    except ValueError:
        raise ConfigError(f"[serve] tokens: {name}: {user!r} is no UUID", hint="a UUID, or * for everybody") from None
    return digest, Caller(name=name, scopes=frozenset(map(Scope, scopes.split("+"))), user_id=user_id)
