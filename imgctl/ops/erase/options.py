"""The options of an erasure, the outcome of each image, and the notes kept on an image until nothing of it is left."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imgctl.keys import named_image, stem_of
from imgctl.store.blobs.base import Remnant

HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOrder:
    """What to erase: a user, these ids, those of a file, those of earlier `receipts`, or all `unfinished` erasures.

    `secret` signs receipts and hashes users. A put may take `grace_seconds` from its promise; a run waits at most
    `wait_seconds` for leases and promises to end, and leaves the remaining images to the next run.
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
        """Return the pseudonym of a user, stored instead of the user's id."""
        return owner_digest(user_id, self.secret)

    @property
    def secret_id(self) -> str:
        """What tells this secret from others, and nothing about it."""
        return hmac.digest(self.secret.encode(), b"the id of this secret", hashlib.sha256)[:4].hex()


def owner_digest(user_id: UUID, secret: str) -> bytes:
    """Return the HMAC-SHA256 of a user's id, stored where personal data must not be."""
    return hmac.digest(secret.encode(), user_id.bytes, hashlib.sha256)


class Fate(StrEnum):
    """How an image ended: nothing of it is left, or why something may be: a hold, a lock in the store, a process that may
    still put blobs of it, or a row that named another image's key. `already`: erased before; `missing`: unknown id.
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
    """How one image ended, and its deleted blobs; `subject` is its id, or the invalid text given as an id."""

    subject: str
    fate: Fate
    detail: str = ""
    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Notes on an image that is being erased: the keys its row named, the sizes of the blobs found, the counts of
    blobs and bytes deleted by earlier erasures, and the id of the secret that its owner is hashed with, which alone
    stays at the end.
    """

    named: tuple[str, ...] = ()
    found: Mapping[str, int] = field(default_factory=dict)
    before: tuple[int, int] = (0, 0)
    secret_id: str = ""

    @classmethod
    def read(cls, text: str | None) -> "Notes":
        """Parse the notes that `text` wrote."""
        values = json.loads(text or "{}")
        named, found, before = values.get("named", ()), values.get("found", {}), values.get("before", (0, 0))
        secret_id = values.get("secret", "")
        return cls(named=tuple(named), found=found, before=(before[0], before[1]), secret_id=secret_id)

    def can_compare(self, secret_id: str) -> bool:
        """Whether the owner's digest was made with this secret; unknown, so no, if 1.0.0rc1 made it."""
        return self.secret_id == secret_id

    @property
    def tombstone(self) -> str:
        """The notes of an erasure that has ended, as JSON."""
        return json.dumps({"secret": self.secret_id}, separators=(",", ":"))

    @property
    def text(self) -> str:
        """The notes as JSON."""
        values = {"named": self.named, "found": self.found, "before": self.before, "secret": self.secret_id}
        return json.dumps(values, separators=(",", ":"))

    @property
    def blobs(self) -> int:
        """Number of blobs and versions found, over all runs."""
        return self.before[0] + len(self.found)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return self.before[1] + sum(self.found.values())

    def seen(self, remnants: Iterable[Remnant]) -> "Notes":
        """Return the notes with these remnants added; delete markers hold no bytes and don't count."""
        more = {one.name: one.size for one in remnants if not one.is_marker}
        return replace(self, found={**self.found, **more})

    def stems(self, image_id: UUID, prefixes: Iterable[str]) -> set[str]:
        """Return the stems that its keys begin with: under these prefixes, and under those in its row's keys."""
        stem = stem_of(image_id)
        older = {key[: key.index(stem)] for key in self.named if named_image(key) == image_id}
        return {f"{prefix}{stem}" for prefix in (*prefixes, *older)}

    def foreign(self, image_id: UUID) -> list[str]:
        """Return the keys in the row that are not shaped as this image's: nothing proves that they belong to it."""
        return [key for key in self.named if named_image(key) != image_id]
