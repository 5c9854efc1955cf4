"""An erasure whose steps survive a kill: rows are removed, blobs deleted, tombstones written, then a receipt.

    images ── mark ──▶ erased (erasing) ── wipe, look again ──▶ erased (a tombstone) ──▶ receipt

The same command repeats each step safely, whatever was done before. A row leaves `images` in one transaction: from
then on no listing, link, queue or claim finds it, and a process that held its lease has lost it. If that process still
puts blobs, it deletes them when it notices (`late`); no tombstone is written before its lease or promise has ended.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import ConfigError
from imgctl.model import Image, Status
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read, write, write_parts
from imgctl.ops.common.row_blobs import keys_of
from imgctl.ops.erase.options import EraseOrder, Fate, Notes, Outcome
from imgctl.ops.erase.subject import Named, Subject
from imgctl.ops.erase.wipe import Wiper
from imgctl.store.catalog.queries.erased import Erasure, Mark, Tombstone, conclude, erasures, locked, mark
from imgctl.store.catalog.queries.holds import held_among, in_force, lock_holds
from imgctl.store.catalog.queries.lookups import clock
from imgctl.store.catalog.queries.operations import forget_user

LONGEST_STEP_SECONDS = 1.0


def erase(parts: Parts, order: EraseOrder, *, stop: StopSignal) -> Iterator[Outcome]:
    """Erase an order's images; yields the outcome of each image begun before `stop`.

    ConfigError without a secret. Raises the error that ends a whole run: no store, no catalog, no permission.
    """
    check_secret(order.secret)
    subject = Subject(parts, order, stop=stop)
    for some in subject.named():
        if stop.is_set():
            return
        for begun in write_parts(parts.catalog, some, partial(_begin, order=order), stop=stop):
            yield from begun
    for bad in subject.bad:
        yield Outcome(subject=bad.where, fate=Fate.MISSING, detail=bad.detail)
    yield from _Run(parts, order, subject, stop=stop).outcomes()
    if order.user_id is not None and not stop.is_set() and next(subject.named(), None) is None:
        write(parts.catalog, partial(_forget, user_id=order.user_id), stop=stop)


def _forget(connection: Connection, user_id: UUID) -> None:
    """Remove the user from the history, unless the user is held."""
    lock_holds(connection)
    if not in_force(connection, user_id):
        forget_user(connection, user_id)


def check_secret(secret: str) -> None:
    """Raise ConfigError without a secret, which signs receipts and hashes users."""
    if not secret:
        hint = "set [serve] secret, 32 random characters, and keep it: IMGCTL_SERVE_SECRET"
        raise ConfigError("there is no secret to sign a receipt with", hint=hint)


def _begin(connection: Connection, some: Sequence[Named], order: EraseOrder) -> list[Outcome]:
    """Move the rows of these images out of the `images` table, except those of held users."""
    owners = dict(some)
    lock_holds(connection)
    rows = {image.id: image for image in locked(connection, owners)}
    known, now = erasures(connection, owners), clock(connection)
    held = held_among(connection, {image.user_id for image in rows.values()})
    outcomes: list[Outcome] = []
    marks: list[Mark] = []
    for image_id, owner in some:
        image, before = rows.get(image_id), known.get(image_id)
        if image is not None and image.user_id in held:
            outcomes.append(Outcome(subject=str(image_id), fate=Fate.HELD, detail=held[image.user_id].line))
        elif image is not None:
            marks.append(_mark(image, before, order, now))
            outcomes += _foreign(image)
        elif owner is not None and (before is None or before.erased_at is not None):
            # From a receipt: a restored database may lack the erasure, and blobs may have come back.
            notes = _notes((), before, owner.secret_id)
            marks.append(Mark(id=image_id, owner=owner.digest, settles_at=now, notes=notes.text))
        elif before is None:
            detail = "no image has this id, and none had that was erased"
            outcomes.append(Outcome(subject=str(image_id), fate=Fate.MISSING, detail=detail))
        elif before.erased_at is not None:
            detail = f"erased at {before.erased_at:%Y-%m-%d %H:%M:%S}"
            outcomes.append(Outcome(subject=str(image_id), fate=Fate.ALREADY, detail=detail))
    mark(connection, marks)
    return outcomes


def _mark(image: Image, before: Erasure | None, order: EraseOrder, now: datetime) -> Mark:
    promised = image.promised_at + timedelta(seconds=order.grace_seconds)
    ends = [now, *([promised] if image.status is Status.UPLOADING else ())]
    if image.leased_until is not None:
        ends.append(image.leased_until)
    notes = _notes(tuple(keys_of(image)), before, order.secret_id)
    return Mark(id=image.id, owner=order.owner(image.user_id), settles_at=max(ends), notes=notes.text)


def _notes(named: tuple[str, ...], before: Erasure | None, secret_id: str) -> Notes:
    counts = (before.blobs, before.bytes) if before is not None else (0, 0)
    return Notes(named=named, before=counts, secret_id=secret_id)


def _foreign(image: Image) -> Iterator[Outcome]:
    for key in Notes(named=tuple(keys_of(image))).foreign(image.id):
        detail = f"its row named {key}, which is not a key of this image: it stays, look at it"
        yield Outcome(subject=str(image.id), fate=Fate.FOREIGN, detail=detail)


class _Run:
    """Wipes, waits for processes that may still put, sweeps, checks again and concludes."""

    def __init__(self, parts: Parts, order: EraseOrder, subject: Subject, *, stop: StopSignal) -> None:
        self._parts = parts
        self._order = order
        self._subject = subject
        self._stop = stop
        self._wiper = Wiper(parts, order, stop=stop)

    def outcomes(self) -> Iterator[Outcome]:
        self._wait(self._wipe())
        self._wiper.sweep()
        for some in self._subject.erasing():
            if self._stop.is_set():
                return
            yield from self._concluded(some)

    def _wipe(self) -> float:
        """Delete the stored blobs; returns the seconds to wait until no lease or promise is left, ignoring longer ones."""
        ends = 0.0
        for some in self._subject.erasing():
            self._wiper.wipe(some)
            now = read(self._parts.catalog, clock, stop=self._stop)
            left = [(one.settles_at - now).total_seconds() for one in some]
            ends = max([ends, *(seconds for seconds in left if seconds <= self._order.wait_seconds)])
        return ends

    def _wait(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while not self._stop.is_set() and (left := ends_at - time.monotonic()) > 0:
            self._stop.wait(min(left, LONGEST_STEP_SECONDS))

    def _concluded(self, some: Sequence[Erasure]) -> Iterator[Outcome]:
        kept, held = self._left(some) | self._wiper.kept, self._wiper.held(some)
        for one in some:
            if one.id in held:
                yield Outcome(subject=str(one.id), fate=Fate.HELD, detail=held[one.id])
        free = [one for one in some if one.id not in held]
        clean = [one for one in free if one.id not in kept]
        tombstones = [Tombstone(id=one.id, notes=Notes.read(one.notes).tombstone) for one in clean]
        for _ in write_parts(self._parts.catalog, tombstones, conclude, stop=self._stop):
            pass
        now = read(self._parts.catalog, partial(erasures, ids=[one.id for one in clean]), stop=self._stop)
        for one in free:
            if one.id in kept:
                yield Outcome(subject=str(one.id), fate=Fate.LOCKED, detail=kept[one.id])
            elif now[one.id].erased_at is not None:
                yield Outcome(subject=str(one.id), fate=Fate.ERASED, blobs=now[one.id].blobs, bytes=now[one.id].bytes)
            else:
                until = f"{one.settles_at:%Y-%m-%d %H:%M:%S}"
                detail = (
                    f"a worker or an upload may still put blobs of it until {until}: run the same command again then"
                )
                yield Outcome(subject=str(one.id), fate=Fate.WAITING, detail=detail)

    def _left(self, some: Sequence[Erasure]) -> dict[UUID, str]:
        """Return why blobs of these are left; blobs that arrived since are deleted first."""
        again = self._there(some)
        if not again:
            return {}
        refused = self._wiper.wipe(again)
        return {one.id: refused.get(one.id, "its blobs keep coming back") for one in self._there(again)}

    def _there(self, erasing: Sequence[Erasure]) -> list[Erasure]:
        found = self._wiper.look((one.id, Notes.read(one.notes)) for one in erasing)
        return [one for one in erasing if one.id in found]
