"""The current state of one image: its row, blobs, history, cost and paired images, and the command that repairs it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from imgctl.config.settings import Settings
from imgctl.errors import ImgctlError
from imgctl.imaging.formats import KNOWN, Kind, format_by_name
from imgctl.imaging.probe import recognise
from imgctl.imaging.recipe_digest import digest
from imgctl.keys import ORIGINAL, ROLES, key_of
from imgctl.model import Image, Sized, Status, Variant, VariantFormat, is_archived
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import in_store
from imgctl.ops.common.spend import card_in_force
from imgctl.pricing.costs import monthly_storage
from imgctl.pricing.estimate import Billing, Estimate, billing, estimated
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.queries.holds import LegalHold, in_force
from imgctl.store.catalog.queries.lookups import alike, clock
from imgctl.units import count_of

Blobs = Mapping[str, Blob | None]
# A phone's film and picture differ in time by the film's length; a camera's raw and JPEG have the same time.
_WITHIN_SECONDS = 5.0
_RAW_WITHIN = timedelta(seconds=2)
_KINDS = {frozenset((Kind.PICTURE, Kind.FILM)), frozenset((Kind.PICTURE, Kind.RAW))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedBlob:
    """The blob of one role: its key (as found in the store, if the row names none), and the stored blob, or None."""

    role: str
    key: str | None
    named: bool
    blob: Blob | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An event of an image; `at` is None if its time is unknown."""

    at: datetime | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The state of an image in one sentence, and the command that repairs it; empty if there is nothing to do."""

    ok: bool
    text: str
    command: str = ""


class Pair(StrEnum):
    """The kind of a pair of files of one exposure."""

    LIVE_PHOTO = "live_photo"
    RAW_AND_PICTURE = "raw_and_picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Another image of the same exposure, and the kind of pair."""

    image: Image
    pair: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything known about one image at `now`, by the database's clock; `holds` are those on its owner."""

    image: Image
    now: datetime
    holds: tuple[LegalHold, ...]
    blobs: tuple[ObservedBlob, ...]
    history: tuple[Moment, ...]
    cost: Estimate
    billing: Billing
    advice: Advice
    pairs: tuple[Paired, ...] = ()


def overview(parts: Parts, image: Image, *, endpoint_url: str = "") -> Overview:
    """Collect everything about an image; costs one HEAD for each blob, in parallel."""
    settings = parts.settings
    with parts.catalog.read() as connection:
        now = clock(connection)
        holds = in_force(connection, image.user_id)
    with thread_pool(len(ROLES), name="head") as threads:
        blobs = tuple(threads.map(lambda role: _observed(image, role, settings, parts.store), ROLES))
    found = {one.role: one.blob for one in blobs}
    recipe, max_attempts = digest(settings.variants.recipe()), settings.work.max_attempts
    return Overview(
        image=image,
        now=now,
        holds=tuple(holds),
        blobs=blobs,
        history=_history(image, found, now=now),
        cost=_monthly_cost(settings, [blob for blob in found.values() if blob]),
        billing=billing(settings.store.url, endpoint_url),
        advice=_advice(image, found, now=now, recipe=recipe, max_attempts=max_attempts),
        pairs=pairs_of(parts, image),
    )


def _observed(image: Image, role: str, settings: Settings, store: BlobStore) -> ObservedBlob:
    named = image.key(role)
    keys = [named] if named else []
    if not named and role != ORIGINAL:
        prefix = settings.store.variants_prefix
        keys = [key_of(image.id, role, one.extension, prefix=prefix) for one in VariantFormat]
    for key in keys:
        if blob := store.details(key):
            return ObservedBlob(role=role, key=key, named=bool(named), blob=blob)
    return ObservedBlob(role=role, key=named, named=bool(named), blob=None)


def _monthly_cost(settings: Settings, blobs: Iterable[Blob]) -> Estimate:
    card = card_in_force(settings)
    # Each blob by itself: a class with a minimum billable size charges it per blob.
    lines = (
        line
        for blob in sorted(blobs, key=lambda blob: blob.storage_class)
        for line in monthly_storage(card, blob.storage_class, Sized(objects=1, size=blob.size))
    )
    return estimated(card, lines)


def _history(image: Image, blobs: Blobs, *, now: datetime) -> tuple[Moment, ...]:
    """Return the moments in order of time to the second, as stores give it; those without a time last."""
    timed = [] if image.taken_at is None else [(image.taken_at, "picture taken")]
    timed.append((image.promised_at, "row promised"))
    for role, blob in blobs.items():
        if blob is None:
            continue
        # A change of class copies the blob: its time is the last move's, not the upload's.
        moved = f", now {blob.storage_class}" if is_archived(blob.storage_class) else ""
        timed.append((blob.modified_at, f"{role} written ({count_of(blob.size, 'byte')}{moved})"))
        if blob.restored_until is not None:
            timed.append((blob.restored_until, f"{role}: its restored copy expires"))
    if image.leased_until is not None:
        ended = image.leased_until <= now
        timed.append((image.leased_until, "the worker's lease ran out" if ended else "leased until"))
    untimed = []
    if image.attempts:
        untimed.append(
            f"tried {count_of(image.attempts, 'time')}"
            + (f", {image.forgiven} not its own fault" if image.forgiven else "")
        )
    if image.status is Status.FAILED:
        untimed.append("given up")
    timed.sort(key=lambda one: one[0].replace(microsecond=0))
    return (*(Moment(at=at, what=what) for at, what in timed), *(Moment(at=None, what=what) for what in untimed))


def _advice(image: Image, blobs: Blobs, *, now: datetime, recipe: str, max_attempts: int) -> Advice:
    """Return the advice for an image, from its row and blobs; `recipe` is the digest of the settings in force."""
    original, repair = blobs.get(ORIGINAL), f"imgctl repair --id {image.id} --apply"
    if image.status is Status.UPLOADING:
        if original is None:
            text = "the upload was interrupted before its bytes arrived: run the same upload again, or drop the promise"
        elif original.size == image.bytes:
            text = "the bytes arrived but were not confirmed"
        else:
            text = "the original is not the size that was promised"
        return Advice(ok=False, text=text, command=repair)
    if original is None or original.size == 0:
        return _advice_without_original(image, original, repair)
    if image.status is Status.PROCESSING:
        return _advice_processing(image, original, now=now, max_attempts=max_attempts)
    if image.status is Status.FAILED:
        text = f"rendering failed: {image.error or 'no reason is recorded'}"
        again = f"imgctl repair --id {image.id} --failed --apply && imgctl work --drain"
        return Advice(ok=False, text=text, command=again)
    if bad := [one for one in Variant if not image.key(one) or not (blob := blobs.get(one)) or not blob.size]:
        return Advice(ok=False, text=f"not there or empty: {', '.join(bad)}", command=repair)
    if image.bytes is not None and original.size != image.bytes:
        text = f"the original has {count_of(original.size, 'byte')}, the row says {image.bytes:,}"
        return Advice(ok=False, text=text, command=f"imgctl get {image.id} --out . and compare")
    if image.recipe != recipe:
        text = "its variants were built by other settings"
        return Advice(ok=True, text=text, command=f"echo {image.id} | imgctl backfill --stale --ids-from -")
    return Advice(ok=True, text="all is well")


def _advice_without_original(image: Image, original: Blob | None, repair: str) -> Advice:
    if image.is_lost and original is None:
        text = "the original is lost: another copy of the photo brings it back"
        return Advice(ok=False, text=text, command=f"imgctl upload PHOTO --user {image.user_id}")
    how = "is missing" if original is None else "is empty"
    return Advice(ok=False, text=f"the original {how} from the store", command=repair)


def _advice_processing(image: Image, original: Blob, *, now: datetime, max_attempts: int) -> Advice:
    if image.is_held(now):
        why = f" (last error: {image.error})" if image.error else ""
        return Advice(ok=True, text=f"a worker has it, or it waits for its next try{why}")
    if image.attempts - image.forgiven >= max_attempts:
        text = f"its attempts are used up: {image.error or 'the worker died each time'}"
        return Advice(ok=False, text=text, command=f"imgctl repair --id {image.id} --apply")
    if is_archived(original.storage_class) and not original.readable:
        text = f"it waits for its original, which lies in {original.storage_class}"
        return Advice(ok=False, text=text, command=f"imgctl restore {image.id} --tier standard")
    return Advice(ok=True, text="it waits for a worker", command="imgctl work --drain")


def pairs_of(parts: Parts, image: Image) -> tuple[Paired, ...]:
    """Return the owner's other images of the same exposure.

    Candidates are rows with the same name but for the extension, or taken within five seconds: those uploaded nearest
    to it. A raw and its picture share name and time; a Live Photo's files have the same ContentIdentifier, which is read
    from the beginning of each file.
    """
    with parts.catalog.read() as connection:
        found = alike(connection, image, stem=_stem(image), seconds=_WITHIN_SECONDS)
    kind = _kind(image)
    candidates = [one for one in found if frozenset((kind, _kind(one))) in _KINDS]
    return tuple(_paired(parts.store, image, candidates))


def _paired(store: BlobStore, image: Image, candidates: list[Image]) -> Iterator[Paired]:
    identifier: str | None = None
    for one in candidates:
        if Kind.RAW in (_kind(image), _kind(one)):
            if _is_same_exposure(image, one):
                yield Paired(image=one, pair=Pair.RAW_AND_PICTURE)
            continue
        identifier = _identifier(store, image) if identifier is None else identifier
        if identifier and identifier == _identifier(store, one):
            yield Paired(image=one, pair=Pair.LIVE_PHOTO)


def _is_same_exposure(image: Image, other: Image) -> bool:
    if not _stem(image) or _stem(image).casefold() != _stem(other).casefold():
        return False
    # Cameras' file names restart after 9,999.
    return image.taken_at is None or other.taken_at is None or abs(image.taken_at - other.taken_at) <= _RAW_WITHIN


def _identifier(store: BlobStore, image: Image) -> str:
    """Return the Live Photo's ContentIdentifier from the original's metadata; empty if that cannot be read now."""
    key = image.original_key
    if key is None or (is_archived(image.storage_class) and image.restored_until is None):
        return ""
    try:
        blob = store.head(key)
        if blob is None or not blob.etag:
            return ""
        return recognise(in_store(store, key, size=blob.size, etag=blob.etag)).content_identifier
    except ImgctlError:
        return ""


def _stem(image: Image) -> str:
    return (image.name or "").rpartition(".")[0]


def _kind(image: Image) -> Kind | None:
    # A key's extension follows from the content.
    known = format_by_name(image.original_key or "")
    return KNOWN[known].kind if known else None
