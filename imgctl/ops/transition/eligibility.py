"""Eligibility for a move: every variant of an image exists, and the colder class saves more than the move costs."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import NamedTuple

from imgctl.errors import ConfigError, UsageError
from imgctl.model import Image, Status, StorageClass, Variant, classes_of
from imgctl.ops.common.row_blobs import RowBlobs
from imgctl.ops.transition.options import Policy, Reason
from imgctl.pricing.moves import Origin, break_even_bytes, origin
from imgctl.pricing.prices import STANDARD, Card
from imgctl.store.blobs.base import Blob
from imgctl.units import count_of, format_bytes

# From warm to cold; a class is never left for a warmer one.
_RANKS = {
    "STANDARD": 0,
    "REDUCED_REDUNDANCY": 0,
    "INTELLIGENT_TIERING": 0,
    "STANDARD_IA": 1,
    "ONEZONE_IA": 1,
    "GLACIER_IR": 2,
    "GLACIER": 3,
    "ARCHIVE_ACCESS": 3,
    "DEEP_ARCHIVE": 4,
    "DEEP_ARCHIVE_ACCESS": 4,
    "NEARLINE": 1,
    "COLDLINE": 2,
    "ARCHIVE": 3,
    "COOL": 1,
    "COLD": 2,
    "AZURE_ARCHIVE": 3,
}
_NOT_READY = {
    Status.UPLOADING: Reason.UPLOADING,
    Status.PROCESSING: Reason.PROCESSING,
    Status.FAILED: Reason.FAILED,
}

# The classes that originals can be moved to, as users write them.
TARGETS = tuple(one.value for one in StorageClass if one not in (StorageClass.STANDARD, StorageClass.AZURE_ARCHIVE))


def target_of(name: str, url: str) -> StorageClass:
    """Return the class of that name in the store at `url`; UsageError if the store does not offer it."""
    known = classes_of(url)
    found = StorageClass.AZURE_ARCHIVE if name == StorageClass.ARCHIVE and url.startswith("az://") else name
    if found not in known[1:]:
        words = ", ".join(one.removeprefix("AZURE_") for one in known[1:])
        raise UsageError(f"{url} has no storage class {name}", hint=f"take one of {words}")
    return StorageClass(found)


class Refusal(NamedTuple):
    """Why an original may not move, as a code and as text."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether an original may move: yes where `refusal` is None; `origin` is its current class.

    `under_way` is True when another transition holds it. `blob` is None when the row alone decided.
    """

    image: Image
    blob: Blob | None = None
    refusal: Refusal | None = None
    origin: Origin | None = None
    under_way: bool = False

    @property
    def is_misnamed(self) -> bool:
        """Whether the row's class differs from the store's, or a move of it was interrupted."""
        if self.blob is None:
            return False
        named = self.image.storage_class or STANDARD
        return named != self.blob.storage_class or (
            self.image.leased_until is not None and self.refusal is not None and self.refusal[0] is Reason.ALREADY_THERE
        )

    @property
    def is_interrupted(self) -> bool:
        """Whether an earlier run moved it and ended before it wrote that: its old version may be left."""
        image, blob = self.image, self.blob
        return blob is not None and image.leased_until is not None and image.storage_class == blob.storage_class


class Eligibility:
    """Judges rows and their blobs by one policy; pure."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._break_even = cache(self._pays_from)

    def judge_row(self, image: Image, *, now: datetime) -> Verdict | None:
        """Return the verdict if the row alone suffices, else None; `now` is by the database's clock."""
        promised = image.storage_class == self._policy.to
        if image.status is not Status.READY:
            return _refused(image, _NOT_READY[image.status], f"the row is {image.status}")
        if image.is_held(now):
            detail = "another transition moves it" if promised else "a worker holds it"
            refusal = Refusal(Reason.LEASED, detail)
            return Verdict(image=image, refusal=refusal, under_way=promised)
        if promised and image.leased_until is None:
            return _refused(image, Reason.ALREADY_THERE, f"the row's class is {self._policy.to}")
        if image.original_key is None or image.bytes is None:
            return _refused(image, Reason.ORIGINAL_MISSING, "the row names no original")
        missing = [variant for variant in Variant if image.key(variant) is None]
        return _refused(image, Reason.VARIANT_MISSING, f"the row has no {missing[0]}") if missing else None

    def judge(self, row: RowBlobs) -> Verdict:
        """Return the verdict on a row that `judge_row` left open."""
        image, blob = row.image, row.blob(row.image.original_key)
        if blob is None:
            return _refused(image, Reason.ORIGINAL_MISSING, f"the store has no {image.original_key}")
        refusal = self._of_original(image, blob) or _of_variants(row)
        if refusal is not None:
            return Verdict(image=image, blob=blob, refusal=refusal)
        try:
            source = self._origin(blob)
            refusal = self._of_price(blob, source)
        except ConfigError as error:
            return Verdict(image=image, blob=blob, refusal=Refusal(Reason.UNPRICED, error.line))
        return Verdict(image=image, blob=blob, refusal=refusal, origin=source)

    def _of_original(self, image: Image, blob: Blob) -> Refusal | None:
        if blob.size != image.bytes:
            return Refusal(
                Reason.SIZE_DIFFERS, f"{count_of(blob.size, 'byte')} in the store, in the row {image.bytes:,}"
            )
        if blob.storage_class == self._policy.to:
            return Refusal(Reason.ALREADY_THERE, f"its class in the store is {blob.storage_class}")
        rank = _RANKS.get(blob.storage_class)
        if rank is None:
            return Refusal(Reason.UNPRICED, f"moves from {blob.storage_class} are not supported")
        if rank > _RANKS[self._policy.to]:
            return Refusal(Reason.COLDER, f"it lies in {blob.storage_class}")
        if not blob.readable:
            return Refusal(Reason.NEEDS_RESTORE, f"it lies in {blob.storage_class}: imgctl restore {image.id}")
        return None

    def _of_price(self, blob: Blob, source: Origin) -> Refusal | None:
        least = self._policy.min_size
        if least is not None:
            detail = f"{format_bytes(blob.size)} is less than --min-size {format_bytes(least)}"
            return Refusal(Reason.BELOW_MIN_SIZE, detail) if blob.size < least else None
        least = self._break_even(source)
        if least is None:
            return Refusal(Reason.BELOW_BREAK_EVEN, f"no size pays within {count_of(self._policy.stay_days, 'day')}")
        detail = f"{format_bytes(blob.size)} pays from {format_bytes(least)} on, if it stays {count_of(self._policy.stay_days, 'day')}"
        return Refusal(Reason.BELOW_BREAK_EVEN, detail) if blob.size < least else None

    def _pays_from(self, source: Origin) -> int | None:
        policy = self._policy
        return break_even_bytes(policy.card, source=source, to=policy.to, stay_days=policy.stay_days)

    def _origin(self, blob: Blob) -> Origin:
        policy = self._policy
        _check_priced(policy.card, blob.storage_class)
        age_days = (policy.at - blob.modified_at).days
        return origin(policy.card, blob.storage_class, to=policy.to, size=blob.size, age_days=age_days)


def _of_variants(row: RowBlobs) -> Refusal | None:
    for variant in Variant:
        key = row.image.key(variant)
        blob = row.blob(key)
        if blob is None:
            return Refusal(Reason.VARIANT_MISSING, f"the store has no {key}")
        if not blob.size:
            return Refusal(Reason.VARIANT_EMPTY, f"{key} has no bytes")
    return None


def _check_priced(card: Card, storage_class: str) -> None:
    if card.of(storage_class).get is None:
        raise ConfigError(f"price card {card.name} has no requests of {storage_class}")


def _refused(image: Image, reason: Reason, detail: str) -> Verdict:
    return Verdict(image=image, refusal=Refusal(reason, detail))
