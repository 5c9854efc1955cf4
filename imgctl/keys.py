"""Keys and ids: builds and parses `YYYY/MM/DD/<id>-<role>.<ext>`; keys sort like ids and times."""

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from imgctl.dates import EPOCH
from imgctl.errors import KeyShapeError
from imgctl.model import Variant

ORIGINAL = "original"
# `repair` moves removed blobs here, under the day of the move; audits skip this prefix.
TRASH = "trash/"
# Checks write their probe objects here and delete them.
PROBES = ".imgctl-check/"
# Lists of originals for S3 Batch Operations, and the reports of its jobs; audits skip this prefix.
BATCH_JOBS = "imgctl-batch/"
ROLES = (ORIGINAL, *Variant)
DAY_MILLISECONDS = 86_400_000
_RANDOM_BYTES, _RANDOM_BATCH = 10, 256

FIRST = UUID(int=0)
"""The id before all others."""

_KEY = (
    r"(?a)(?P<date>\d{4}/\d{2}/\d{2})/"
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
    rf"-(?P<role>{'|'.join(ROLES)})\.(?P<extension>[a-z0-9]{{1,8}})"
)

# Any key that contains an image's id: under any prefix, in the trash, of any role and extension.
_NAMED = (
    r"(?as)(?:.*/)?(?P<date>\d{4}/\d{2}/\d{2})/"
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})-.*"
)

_random: list[bytes] = []
# A forked child must not reuse the random bytes of its parent.
os.register_at_fork(after_in_child=_random.clear)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A parsed key: image id, role, and extension without the dot."""

    id: UUID
    role: str
    extension: str


def is_utf8(text: str) -> bool:
    """Whether a text can be a key or stand in a row; False with a lone surrogate, such as a file name may contain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def new_id(at: datetime) -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7) whose time is `at`, to the millisecond."""
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= milliseconds < 1 << 48:
        raise KeyShapeError(f"{at.isoformat()} does not fit into an id", hint="ids begin in 1970")
    random = int.from_bytes(_random_bytes()) & ((1 << 74) - 1)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def _random_bytes() -> bytes:
    """Ten random bytes from the system, fetched for many ids at once: each system call waits for the interpreter lock."""
    try:
        return _random.pop()
    except IndexError:
        fetched = os.urandom(_RANDOM_BYTES * _RANDOM_BATCH)
        _random.extend(fetched[at : at + _RANDOM_BYTES] for at in range(_RANDOM_BYTES, len(fetched), _RANDOM_BYTES))
        return fetched[:_RANDOM_BYTES]


def time_of(image_id: UUID) -> datetime:
    """When the id was made, aware UTC, to the millisecond; KeyShapeError past the year 9999."""
    try:
        return EPOCH + timedelta(milliseconds=image_id.int >> 80)
    except OverflowError:
        raise KeyShapeError(f"{image_id} is not an id of imgctl: its time lies past the year 9999") from None


def first_id(at: datetime) -> UUID:
    """The smallest id of the millisecond of `at`: the lower bound of an id range that starts at `at`."""
    milliseconds = max(0, (at - EPOCH) // timedelta(milliseconds=1))
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)


def key_of(image_id: UUID, role: str, extension: str, *, prefix: str = "") -> str:
    """The key of one blob of an image; `prefix` is the role's own (`originals_prefix`, `variants_prefix`)."""
    return f"{prefix}{_date(image_id.int >> 80)}/{image_id}-{role}.{extension}"


def _date(milliseconds: int) -> str:
    return _day(milliseconds // DAY_MILLISECONDS)


@lru_cache(maxsize=1024)
def _day(days: int) -> str:
    return f"{EPOCH + timedelta(days=days):%Y/%m/%d}"


def parse_key(key: str, *, prefix: str = "") -> Key:
    """Parse a key; KeyShapeError if `key_of` could not have made it."""
    found = re.fullmatch(_KEY, key.removeprefix(prefix)) if key.startswith(prefix) else None
    if found is None:
        raise KeyShapeError(f"{key!r} is not shaped like a key of imgctl")
    image_id = UUID(found["id"])
    time_of(image_id)
    if _date(image_id.int >> 80) != found["date"]:
        raise KeyShapeError(f"{key!r} lies under another day than its id says")
    return Key(id=image_id, role=found["role"], extension=found["extension"])


def stem_of(image_id: UUID, *, prefix: str = "") -> str:
    """The common start of all keys of an image under this prefix; KeyShapeError for an id past the year 9999."""
    time_of(image_id)
    return f"{prefix}{_date(image_id.int >> 80)}/{image_id}-"


def named_image(key: str) -> UUID | None:
    """The image id in a key, under any prefix and with any role and extension; None if the key contains none."""
    found = re.fullmatch(_NAMED, key)
    if found is None:
        return None
    image_id = UUID(found["id"])
    try:
        stem = stem_of(image_id)
    except KeyShapeError:
        return None
    return image_id if stem.startswith(found["date"]) else None


def own_key(key: str, *, originals: str, variants: str) -> Key | None:
    """Parse a key that is under the prefix of its role; None for any other key."""
    for prefix, roles in ((originals, (ORIGINAL,)), (variants, tuple(Variant))):
        try:
            found = parse_key(key, prefix=prefix)
        except KeyShapeError:
            continue
        if found.role in roles:
            return found
    return None
