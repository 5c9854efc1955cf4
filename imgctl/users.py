"""Users as people name them: a UUID, or with a namespace any name or number, which maps to one."""

import re
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID, uuid5

from imgctl.errors import UsageError

UUID_PATTERN = "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_UUID = re.compile(rf"(?:urn:uuid:)?(?:{UUID_PATTERN}|\{{{UUID_PATTERN}\}})")


class Users:
    """Reads users wherever they are typed or listed, by [users] namespace; `tell` hears of the first name it maps."""

    def __init__(self, namespace: str = "", *, tell: Callable[[str], None] | None = None) -> None:
        self.namespace = UUID(namespace) if namespace else None
        self._tell = tell

    def id_of(self, text: str) -> UUID:
        """The user: a UUID as it is, any other text the UUIDv5 of it in the namespace; UsageError for what is neither.

        The name is taken in Unicode's NFC, without blanks around it, in UTF-8 (RFC 9562, section 5.5); case counts.
        """
        found = _id_of(text, self.namespace)
        if self._tell is not None and not _UUID.fullmatch(text.strip()):
            tell, self._tell = self._tell, None
            tell(f"user {text.strip()} is {found} ([users] namespace)")
        return found


UUIDS_ONLY = Users()


# Manifests and trees repeat their users.
@lru_cache(maxsize=1024)
def _id_of(text: str, namespace: UUID | None) -> UUID:
    bare = text.strip()
    if _UUID.fullmatch(bare):
        return UUID(bare)
    if namespace is None:
        hint = "8-4-4-4-12 hex digits, or set [users] namespace to use names and numbers"
        raise UsageError(f"invalid UUID: {text!r}", hint=hint)
    import unicodedata

    name = unicodedata.normalize("NFC", bare)
    # What is invisible nobody means, and half a character no system encodes alike.
    if not name or not name.isprintable():
        raise UsageError(f"invalid user: {text!r}", hint="a UUID, a name or a number")
    return uuid5(namespace, name)
