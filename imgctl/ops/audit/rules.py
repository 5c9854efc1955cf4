"""The rules of an audit: one row compared with its blobs; pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imgctl.dates import is_likely
from imgctl.keys import ORIGINAL, ROLES, Key, key_of, own_key
from imgctl.model import Image, Status, StorageClass, Variant, is_archived
from imgctl.ops.audit.findings import Code, Finding, Why, about
from imgctl.store.blobs.base import Blob
from imgctl.store.catalog.queries.erased import Erasure
from imgctl.units import count_of

Blobs = Mapping[str, Blob | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The criteria for findings; `now` is the database's clock, `cutoff` the time of the listing (None: just now).

    `recipe` and `classes` are None and False unless requested. Originals and variants may have key prefixes; variants
    have `extensions`, by role.
    """

    now: datetime
    grace: timedelta
    stuck_after: timedelta
    recipe: str | None = None
    classes: bool = False
    cutoff: datetime | None = None
    originals_prefix: str = ""
    variants_prefix: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)

    def is_young(self, moment: datetime) -> bool:
        """Whether a row or blob of that time may still be in flight, or is newer than the listing.

        With a grace of 0 nothing counts as in flight, as the store's clock may be ahead of the database's.
        """
        if self.cutoff is not None and moment > self.cutoff:
            return True
        return bool(self.grace) and moment > (self.cutoff or self.now) - self.grace

    def parse(self, key: str) -> Key | None:
        """Parse a key of an image, under the prefix of its role; None for any other key."""
        return own_key(key, originals=self.originals_prefix, variants=self.variants_prefix)


def named_keys(image: Image) -> dict[str, str]:
    """Return the keys in a row, by role."""
    return {role: key for role in ROLES if (key := image.key(role)) is not None}


def unnamed_keys(image: Image, rules: Rules) -> list[str]:
    """Return the default keys of the variants that a ready row does not name."""
    return [
        key_of(image.id, variant, rules.extensions.get(variant, "jpg"), prefix=rules.variants_prefix)
        for variant in Variant
        if image.status is Status.READY and image.key(variant) is None
    ]


def judge_without_row(blob: Blob, rules: Rules, erasure: Erasure | None = None) -> Iterator[Finding]:
    """Yield the finding about a blob that has no row, or only a tombstone: `erasure`."""
    # An image that is being erased keeps its blobs until that run deletes them.
    if rules.is_young(blob.modified_at if erasure is None or erasure.erased_at else erasure.erasing_since):
        return
    if erasure is not None:
        yield _erased(blob, erasure, rules)
        return
    if found := rules.parse(blob.key):
        code, why, detail = Code.ORPHAN_BLOB, Why.NO_ROW, f"no row has the id {found.id}"
    else:
        code, why, detail = Code.UNKNOWN_KEY, Why.SHAPE, _NO_SHAPE
    yield Finding(
        code=code,
        why=why,
        detail=detail,
        key=blob.key,
        role=found.role if found else None,
        bytes=blob.size,
        modified_at=blob.modified_at,
    )


def _erased(blob: Blob, erasure: Erasure, rules: Rules) -> Finding:
    found = rules.parse(blob.key)
    why, detail = Why.UNFINISHED, f"it is being erased since {erasure.erasing_since:%Y-%m-%d %H:%M}"
    if erasure.erased_at is not None:
        why, detail = Why.CAME_BACK, f"it was erased at {erasure.erased_at:%Y-%m-%d %H:%M}, and is there again"
    return Finding(
        code=Code.ERASED_BUT_PRESENT,
        why=why,
        detail=detail,
        id=erasure.id,
        key=blob.key,
        role=found.role if found else None,
        bytes=blob.size,
        modified_at=blob.modified_at,
    )


def judge(image: Image, blobs: Blobs, rules: Rules, *, busy: bool) -> Iterator[Finding]:
    """Yield the findings about an image. `blobs` has every key in its row (None: missing) and its other listed blobs.

    `busy` is True if any worker holds any row.
    """
    if image.is_held(rules.now):
        return
    photo = _Photo(image, blobs, rules)
    yield from photo.stuck(busy=busy)
    yield from photo.dates()
    if image.status is Status.FAILED:
        yield photo.finding(Code.FAILED, image.error or "no reason is recorded")
    if rules.recipe is not None and image.status is Status.READY and image.recipe != rules.recipe:
        detail = f"built by recipe {image.recipe or 'unknown'}, in force is {rules.recipe}"
        yield photo.finding(Code.STALE_RECIPE, detail)
    if not rules.is_young(image.promised_at):
        yield from photo.original()
        yield from photo.variants()
        yield from photo.archived()
    yield from photo.others()


class _Photo:
    """One row with its blobs."""

    def __init__(self, image: Image, blobs: Blobs, rules: Rules) -> None:
        self._image = image
        self._blobs = blobs
        self._rules = rules
        self._names = named_keys(image)
        self._foreign = {role for role, key in self._names.items() if not self._is_own(role, key)}

    def finding(
        self, code: Code, detail: str, *, role: str | None = None, key: str | None = None, why: Why | None = None
    ) -> Finding:
        return about(self._image, code, detail, role=role, key=key, why=why, blob=self._blobs.get(key or ""))

    def stuck(self, *, busy: bool) -> Iterator[Finding]:
        """Check for a row still uploading or processing `stuck_after` its promise, and find its cause."""
        image, rules = self._image, self._rules
        if image.promised_at > rules.now - rules.stuck_after:
            return
        if image.status is Status.UPLOADING:
            code = Code.STUCK_UPLOADING
            if self._blob(ORIGINAL) is None:
                why, detail = (
                    Why.BYTES_MISSING,
                    "promised, but its bytes never came: upload it again, or drop the promise",
                )
            else:
                why = Why.BYTES_SAFE
                detail = "its bytes are in the store, but its upload ended before it confirmed the row: upload it again"
        elif image.status is Status.PROCESSING:
            code = Code.STUCK_PROCESSING
            why, detail = self._waits_for(busy=busy)
        else:
            return
        yield self.finding(code, detail, role=ORIGINAL, key=image.original_key, why=why)

    def dates(self) -> Iterator[Finding]:
        """Check for impossible dates in the row; only its position in listings depends on them."""
        for name, moment in (("uploaded_at", self._image.uploaded_at), ("taken_at", self._image.taken_at)):
            if moment is not None and not is_likely(moment, now=self._rules.now):
                yield self.finding(Code.UNLIKELY_DATE, f"{name} is {moment:%Y-%m-%d}, which cannot be")

    def original(self) -> Iterator[Finding]:
        """Check that the original exists, is whole and has its class; skipped while it is only promised."""
        if self._image.status is Status.UPLOADING or ORIGINAL in self._foreign:
            return
        key, blob = self._names.get(ORIGINAL), self._blob(ORIGINAL)
        if key is None or blob is None:
            detail = "the original is not in the store" if key else "the row names no original"
            yield self.finding(Code.MISSING_ORIGINAL, detail, role=ORIGINAL, key=key)
            return
        yield from self._content(ORIGINAL, key, blob, self._image.storage_class or StorageClass.STANDARD)

    def variants(self) -> Iterator[Finding]:
        """Check each variant of a ready image, and those that a failed row still names."""
        if self._image.status not in (Status.READY, Status.FAILED):
            return
        for variant in Variant:
            key, blob = self._names.get(variant), self._blob(variant)
            if variant in self._foreign:
                continue
            if key is None:
                yield from self._unnamed(variant)
            elif blob is None:
                detail = f"the {variant} is not in the store"
                yield self.finding(Code.MISSING_VARIANT, detail, role=variant, key=key, why=Why.NOT_THERE)
            else:
                yield from self._content(variant, key, blob, StorageClass.STANDARD)

    def archived(self) -> Iterator[Finding]:
        """Check for an archived original with missing variants, which would have to be built from it."""
        image = self._image
        if not is_archived(image.storage_class):
            return
        # A variant that only lacks its name in the row needs no restore.
        lacking = [one.value for one in Variant if self._blob(one) is None and self._unnamed_key(one) is None]
        if lacking:
            detail = f"the original is {image.storage_class} and there is no {', '.join(lacking)}: restore it first"
            yield self.finding(Code.ARCHIVED_WITHOUT_VARIANTS, detail)

    def others(self) -> Iterator[Finding]:
        """Check for other blobs of the image, and for keys in the row that are not its own."""
        for role in sorted(self._foreign):
            detail = f"the row's {role}_key is not a key of this image"
            yield self.finding(Code.UNKNOWN_KEY, detail, role=role, key=self._names[role], why=Why.FOREIGN)
        for key, blob in self._blobs.items():
            if blob is None or key in self._names.values() or self._rules.is_young(blob.modified_at):
                continue
            found = self._rules.parse(key)
            if found is None:
                yield self.finding(Code.UNKNOWN_KEY, _NO_SHAPE, key=key, why=Why.SHAPE)
                continue
            # A worker puts a variant before its key is in the row. A wrong key in the row must not make the right one an
            # orphan.
            in_progress = found.role != ORIGINAL and (
                self._image.status is not Status.READY or found.role not in self._names
            )
            if not in_progress and found.role not in self._foreign:
                detail = f"the row's {found.role}_key is {self._names.get(found.role) or 'empty'}"
                yield self.finding(Code.ORPHAN_BLOB, detail, role=found.role, key=key, why=Why.FOREIGN)

    def _waits_for(self, *, busy: bool) -> tuple[Why, str]:
        image = self._image
        times = count_of(image.attempts, "time")
        if image.awaits_restore(self._rules.now):
            detail = f"the original is {image.storage_class}: no worker can read it before a restore"
            return Why.WAITING_FOR_RESTORE, detail
        if image.error:
            return Why.POISONED, f"tried {times}, last: {image.error}"
        if image.attempts and image.leased_until is not None:
            return Why.LEASE_EXPIRED, f"its lease expired {times}: the workers died or lost the store"
        detail = "workers are busy with other rows" if busy else "no worker has taken it: imgctl work"
        return Why.NO_WORKER, detail

    def _unnamed(self, variant: Variant) -> Iterator[Finding]:
        if self._image.status is not Status.READY:
            return
        key = self._unnamed_key(variant)
        if key is not None:
            why, detail = Why.NOT_NAMED, f"the {variant} is in the store but the row does not name it"
        else:
            why, detail = Why.NOT_THERE, f"the row names no {variant}, and none is in the store"
        yield self.finding(Code.MISSING_VARIANT, detail, role=variant, key=key, why=why)

    def _unnamed_key(self, variant: Variant) -> str | None:
        """Return the key of a variant that is in the store, if the row names none."""
        if variant in self._names:
            return None
        return next((key for key, blob in self._blobs.items() if blob and self._is_own(variant, key)), None)

    def _content(self, role: str, key: str, blob: Blob, wanted_class: str) -> Iterator[Finding]:
        wanted = self._image.bytes if role == ORIGINAL else None
        if blob.size == 0:
            yield self.finding(Code.EMPTY_BLOB, f"the {role} has no bytes", role=role, key=key)
        elif wanted is not None and blob.size != wanted:
            detail = f"the {role} has {count_of(blob.size, 'byte')}, the row says {wanted:,}"
            yield self.finding(Code.SIZE_MISMATCH, detail, role=role, key=key)
        if self._rules.classes and blob.storage_class != wanted_class:
            detail = f"the {role} lies in {blob.storage_class}, the row says {wanted_class}"
            yield self.finding(Code.CLASS_DRIFT, detail, role=role, key=key)

    def _blob(self, role: str) -> Blob | None:
        return self._blobs.get(self._names.get(role, ""))

    def _is_own(self, role: str, key: str) -> bool:
        found = self._rules.parse(key)
        return found is not None and found.id == self._image.id and found.role == role


_NO_SHAPE = "no key of imgctl has this shape"
