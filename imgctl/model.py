"""The nouns of imgctl: images, their states, their variants and the recipe that builds them."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Status(StrEnum):
    """The state of an image; see the state machine in docs/design.md."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Variant(StrEnum):
    """A rendered size; the catalog has one key column for each."""

    THUMB = "thumb"
    MEDIUM = "medium"
    FULL = "full"


class VariantFormat(StrEnum):
    """The formats that variants can be encoded in."""

    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def extension(self) -> str:
        return "jpg" if self is VariantFormat.JPEG else self.value

    @property
    def content_type(self) -> str:
        return f"image/{self.value}"


LOST = "lost: "
"""Begins the error of a failed image whose original is known to be gone from the store."""


class StorageClass(StrEnum):
    """The storage classes of originals, by their names in the APIs of S3, Google and Azure.

    Azure's Hot is STANDARD. Azure's Archive has its own name here, because it needs a restore and Google's does not.
    """

    STANDARD = "STANDARD"
    STANDARD_IA = "STANDARD_IA"
    GLACIER_IR = "GLACIER_IR"
    GLACIER = "GLACIER"
    DEEP_ARCHIVE = "DEEP_ARCHIVE"
    NEARLINE = "NEARLINE"
    COLDLINE = "COLDLINE"
    ARCHIVE = "ARCHIVE"
    COOL = "COOL"
    COLD = "COLD"
    AZURE_ARCHIVE = "AZURE_ARCHIVE"


# The classes of a store, by its URL scheme; a directory uses those of S3.
S3_CLASSES = tuple(StorageClass)[:5]
CLASSES_OF = {
    "gs": (StorageClass.STANDARD, *tuple(StorageClass)[5:8]),
    "az": (StorageClass.STANDARD, *tuple(StorageClass)[8:]),
}


# The class that listings report for Intelligent-Tiering objects in any access tier. Its two archive tiers count as
# separate classes, named as in HEAD responses (ArchiveStatus); such an original is readable only after a restore.
INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
# The storage class of a blob for which it was not requested.
UNKNOWN = "UNKNOWN"
ARCHIVE_TIERS = ("ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS")
ARCHIVE_CLASSES: tuple[str, ...] = (
    StorageClass.GLACIER,
    StorageClass.DEEP_ARCHIVE,
    *ARCHIVE_TIERS,
    StorageClass.AZURE_ARCHIVE,
)
# A restore moves these out of their class permanently.
RETURN_FOR_GOOD: tuple[str, ...] = (*ARCHIVE_TIERS, StorageClass.AZURE_ARCHIVE)


def classes_of(url: str) -> tuple[StorageClass, ...]:
    """The storage classes that a store supports, by its URL."""
    return CLASSES_OF.get(url.partition("://")[0], S3_CLASSES)


def offline_class(url: str) -> StorageClass:
    """The archive class assumed for an unreadable original of this store when the exact class is unknown."""
    return StorageClass.AZURE_ARCHIVE if url.startswith("az://") else StorageClass.GLACIER


def is_archived(storage_class: str | None) -> bool:
    """Whether a blob of this class must be restored before it can be read; None is STANDARD."""
    return storage_class in ARCHIVE_CLASSES


def fit(width: int, height: int, edge: int) -> tuple[int, int]:
    """Scale a size into a square of `edge` pixels: never upscaled, never below one pixel."""
    scale = min(1.0, edge / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """How one variant is built: its longest edge in pixels (never upscaled), quality 1-100, format."""

    variant: Variant
    max_edge_px: int
    quality: int
    format: VariantFormat = VariantFormat.JPEG


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings that affect a variant's pixels; `imaging.recipe.digest` identifies it in 8 hex digits."""

    variants: tuple[VariantSpec, ...] = (
        VariantSpec(variant=Variant.THUMB, max_edge_px=320, quality=80),
        VariantSpec(variant=Variant.MEDIUM, max_edge_px=1080, quality=82),
        VariantSpec(variant=Variant.FULL, max_edge_px=2048, quality=85),
    )
    background: str = "#ffffff"
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One row of the catalog, column for column; times are aware UTC, `bytes` is the original's size.

    `name` is the uploaded file's name, without directories, at most 255 bytes of UTF-8; None if unknown.
    `uploaded_at` may come from a camera or a manifest; `promised_at` is database time, and ages are computed from it.
    """

    id: UUID
    user_id: UUID
    uploaded_at: datetime
    promised_at: datetime
    status: Status
    caption: str | None = None
    width: int | None = None
    height: int | None = None
    original_key: str | None = None
    thumb_key: str | None = None
    medium_key: str | None = None
    full_key: str | None = None
    sha256: bytes | None = None
    bytes: int | None = None
    content_type: str | None = None
    taken_at: datetime | None = None
    storage_class: str | None = None
    restored_until: datetime | None = None
    recipe: str | None = None
    attempts: int = 0
    forgiven: int = 0
    leased_until: datetime | None = None
    error: str | None = None
    name: str | None = None

    def key(self, role: str) -> str | None:
        """The row's key for `role` (`original`, `thumb`, `medium`, `full`), or None; a named variant is safe in the store."""
        key: str | None = getattr(self, f"{role}_key")
        return key

    @property
    def is_lost(self) -> bool:
        """Whether its original is known to be gone; its owner's next upload of the same photo brings it back."""
        return self.status is Status.FAILED and (self.error or "").startswith(LOST)

    @property
    def is_safe(self) -> bool:
        """Whether its original is in the store, as far as the row knows."""
        return self.status is not Status.UPLOADING and not self.is_lost

    def is_held(self, now: datetime) -> bool:
        """Whether a worker or a move leases the row at `now`, the database's time."""
        return self.leased_until is not None and self.leased_until >= now

    def awaits_restore(self, now: datetime) -> bool:
        """Whether the original is archived according to the row, and not restored at `now`."""
        restored = self.restored_until is not None and self.restored_until > now
        return is_archived(self.storage_class) and not restored


IMAGE_COLUMNS = tuple(field.name for field in fields(Image))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """A new image: the metadata known before its bytes are written; times are aware."""

    id: UUID
    user_id: UUID
    uploaded_at: datetime
    original_key: str
    sha256: bytes
    bytes: int
    content_type: str
    width: int | None = None
    height: int | None = None
    caption: str | None = None
    taken_at: datetime | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The row for a content: new (`created`), or the owner's existing one.

    `status` is UPLOADING as long as bytes are wanted: also for an image whose original is lost. `erased`: there is no
    row, because the image with this id was erased.
    """

    id: UUID
    original_key: str | None
    status: Status
    created: bool
    erased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A number of objects of about equal size, and their total bytes."""

    objects: int = 0
    size: int = 0

    def __add__(self, other: "Sized") -> "Sized":
        return Sized(objects=self.objects + other.objects, size=self.size + other.size)

    def __sub__(self, other: "Sized") -> "Sized":
        return Sized(objects=self.objects - other.objects, size=self.size - other.size)


NONE = Sized()
"""No objects."""
