"""The options of an erasure, how each image ended, and what is noted of one while anything of it is left."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imgctl.keys import named_image, stem_of
from imgctl.store.blobs.remnant import Remnant

HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOrder:
    """What to erase: a user, these ids, those of a file, those of earlier `receipts`, or what earlier runs began.

    `secret` signs receipts and hashes users. A put may take `grace_seconds` from its promise on; a run waits
    `wait_seconds` at most for leases and promises to end, and leaves the rest to the next one.
    """

    user_id: UUID | None = None
    ids: tuple[UUID, ...] = ()
    ids_from: Path | None = None
    receipts: tuple[Path, ...] = ()
    unfinished: bool = False
    secret: str = ""
    grace_seconds: float = HOUR_SECONDS
    wait_seconds: float = 120.0
    concurrency: int = 16

    def owner(self, user_id: UUID) -> bytes:
        """What stands for a user where nothing personal may stand."""
        return owner_digest(user_id, self.secret)


def owner_digest(user_id: UUID, secret: str) -> bytes:
    """The HMAC-SHA256 that stands for a user where nothing personal may stand."""
    return hmac.digest(secret.encode(), user_id.bytes, hashlib.sha256)


class Fate(StrEnum):
    """How an image ended: nothing of it is left, or why something may be: a hold, a lock of the store, somebody who may
    still put to it, or a key of another image that its row named. `already` was erased before, `missing` no image has.
    """

    ERASED = "erased"
    ALREADY = "already"
    HELD = "held"
    LOCKED = "locked"
    WAITING = "waiting"
    FOREIGN = "foreign"
    MISSING = "missing"


UNDONE = (Fate.HELD, Fate.LOCKED, Fate.WAITING, Fate.FOREIGN, Fate.MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one image ended, and what was deleted of it; `subject` is its id, or what was given for one."""

    subject: str
    fate: Fate
    detail: str = ""
    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What is noted of an image that is being erased: the keys its row named, the size of all that was found of it, and
    the blobs and bytes that were deleted of it before.
    """

    named: tuple[str, ...] = ()
    found: Mapping[str, int] = field(default_factory=dict)
    before: tuple[int, int] = (0, 0)

    @classmethod
    def read(cls, text: str | None) -> "Notes":
        """What `text` wrote."""
        said = json.loads(text or "{}")
        named, found, before = said.get("named", ()), said.get("found", {}), said.get("before", (0, 0))
        return cls(named=tuple(named), found=found, before=(before[0], before[1]))

    @property
    def text(self) -> str:
        """The same as JSON."""
        return json.dumps({"named": self.named, "found": self.found, "before": self.before}, separators=(",", ":"))

    @property
    def blobs(self) -> int:
        """How many blobs and versions were found, all runs together."""
        return self.before[0] + len(self.found)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return self.before[1] + sum(self.found.values())

    def seen(self, remnants: Iterable[Remnant]) -> "Notes":
        """The same with what was found just now; delete markers hold nothing and do not count."""
        more = {one.name: one.size for one in remnants if not one.is_marker}
        return Notes(named=self.named, found={**self.found, **more}, before=self.before)

    def stems(self, image_id: UUID, prefixes: Iterable[str]) -> set[str]:
        """What its keys begin with: under these prefixes, and under those its row named."""
        stem = stem_of(image_id)
        older = {key[: key.index(stem)] for key in self.named if named_image(key) == image_id}
        return {f"{prefix}{stem}" for prefix in (*prefixes, *older)}

    def foreign(self, image_id: UUID) -> list[str]:
        """Keys that the row named and that bear another name: nothing says that they are this image's."""
        return [key for key in self.named if named_image(key) != image_id]
