"""Converts user names to UUIDs: a UUID as it is; with a namespace also any name or number."""

import re
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID, uuid5

from imgctl.errors import UsageError

UUID_PATTERN = "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_UUID = re.compile(rf"(?:urn:uuid:)?(?:{UUID_PATTERN}|\{{{UUID_PATTERN}\}})")


# Unicode's forms take quadratic time.
_LONGEST = 1000


class Users:
    """Parses users from options and lists by [users] namespace; calls `report` for the first name that it maps."""

    def __init__(self, namespace: str = "", *, report: Callable[[str], None] | None = None) -> None:
        self.namespace = UUID(namespace) if namespace else None
        self._report = report

    def id_of(self, text: str) -> UUID:
        """Return a UUID as it is, and for any other text its UUIDv5 in the namespace; UsageError for invalid text.

        Names are stripped, normalized to Unicode NFC and encoded in UTF-8 (RFC 9562, section 5.5); case matters.
        """
        found = _id_of(text, self.namespace)
        if self._report is not None and not _UUID.fullmatch(text.strip()):
            report, self._report = self._report, None
            report(f"user {text.strip()} is {found} ([users] namespace)")
        return found


UUIDS_ONLY = Users()


# Manifests and directory trees repeat the same users.
@lru_cache(maxsize=1024)
def _id_of(text: str, namespace: UUID | None) -> UUID:
    bare = text.strip()
    if _UUID.fullmatch(bare):
        return UUID(bare)
    if namespace is None:
        text = text[:_LONGEST]
        hint = "8-4-4-4-12 hex digits, or set [users] namespace to use names and numbers"
        raise UsageError(f"invalid UUID: {text!r}", hint=hint)
    import unicodedata

    name = unicodedata.normalize("NFC", bare) if len(bare) <= _LONGEST else ""
    # Invisible characters are mistakes, and systems encode lone surrogates differently.
    if not name or not name.isprintable():
        raise UsageError(f"invalid user: {text[:_LONGEST]!r}", hint="a UUID, a name or a number")
    return uuid5(namespace, name)
