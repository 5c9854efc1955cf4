"""Bringing back what lies in the trash."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from imgctl.errors import ImgctlError
from imgctl.ops.parts import Parts
from imgctl.ops.repair.order import Fate
from imgctl.ops.repair.trash import carry, key_before, trashed
from imgctl.ops.retry import StopSignal
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob

BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted:
    """One blob of the trash, the key it belongs to, and how it ended."""

    trashed: str
    key: str
    bytes: int
    fate: Fate
    detail: str = ""


def undelete(
    parts: Parts, day: str | None, *, apply: bool, stop: StopSignal, concurrency: int = 16
) -> Iterator[Undeleted]:
    """Bring back what was thrown away on a day (`2026-11-22`) or ever, or (dry) say what would; one outcome a blob.

    A key that holds another content by now keeps it, and its blob stays in the trash.
    """
    blobs = trashed(parts.store, day)
    with thread_pool(concurrency, name="undelete") as threads:
        while not stop.is_set() and (batch := list(islice(blobs, BATCH))):
            yield from threads.map(lambda blob: _one(parts, blob, apply=apply), batch)


def _one(parts: Parts, blob: Blob, *, apply: bool) -> Undeleted:
    key = key_before(blob.key)
    if key is None:
        detail = "it is not shaped like a key of the trash"
        return Undeleted(trashed=blob.key, key="", bytes=blob.size, fate=Fate.LEFT, detail=detail)
    fate, detail = Fate.PLANNED, ""
    if apply:
        try:
            carry(parts.store, blob, key, certain=lambda: True)
            fate = Fate.MENDED
        except ImgctlError as error:
            fate, detail = Fate.FAILED, error.line
    return Undeleted(trashed=blob.key, key=key, bytes=blob.size, fate=fate, detail=detail)
