"""Ways to damage a photo, each with its exact findings."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from imgctl.keys import ORIGINAL, key_of, new_id
from imgctl.model import Status, Variant
from imgctl.ops.audit.findings import Code
from tests.ops.audit.archive import Archive, Photo, Summary

Damage = Callable[[Archive, Photo, int], list[Summary]]


def _delete_original(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.delete(photo.original)
    return [(Code.MISSING_ORIGINAL, photo.original)]


def _delete_variant(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    key = photo.keys[list(Variant)[seed % 3]]
    archive.delete(key)
    return [(Code.MISSING_VARIANT, key)]


def _delete_everything(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    for key in photo.keys.values():
        archive.delete(key)
    variants = [(Code.MISSING_VARIANT, photo.keys[variant]) for variant in Variant]
    return [(Code.MISSING_ORIGINAL, photo.original), *variants]


def _truncate(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.put(photo.original, photo.body[:-1])
    return [(Code.SIZE_MISMATCH, photo.original)]


def _empty(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    key = list(photo.keys.values())[seed % 4]
    archive.put(key, b"")
    return [(Code.EMPTY_BLOB, key)]


def _orphan(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.forget(photo)
    return [(Code.ORPHAN_BLOB, key) for key in photo.keys.values()]


def _stray(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    at = datetime.fromtimestamp((photo.id.int >> 80) / 1000, UTC) + timedelta(seconds=seed % 50)
    key = key_of(new_id(at), ORIGINAL, "jpg", prefix=archive.parts.settings.store.originals_prefix)
    archive.put(key, b"whose?")
    return [(Code.ORPHAN_BLOB, key)]


def _unknown(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    day = photo.original.rpartition("/")[0] + "/"
    names = (f"{day}holiday-{photo.id}.jpg", f"{day}{photo.id}-poster.jpg", f"{day}{photo.id}-zoom.jpg", f"readme-{photo.id}.txt",
             f"zz/{photo.id}.bin")  # fmt: skip
    archive.put(names[seed % 5], b"something")
    return [(Code.UNKNOWN_KEY, names[seed % 5])]


def _beside(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    key = photo.keys[("thumb", "original")[seed % 2]].replace(".jpg", ".webp")
    archive.put(key, b"of an older recipe")
    return [(Code.ORPHAN_BLOB, key)]


def _unname(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    variant = list(Variant)[seed % 3]
    archive.set(photo, **{f"{variant}_key": None})
    return [(Code.MISSING_VARIANT, photo.keys[variant])]


def _swap(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    other = archive.add(1, age=timedelta(days=9))[0]
    archive.set(photo, thumb_key=other.keys["thumb"])
    archive.set(other, thumb_key=photo.keys["thumb"])
    return [(Code.UNKNOWN_KEY, other.keys["thumb"]), (Code.UNKNOWN_KEY, photo.keys["thumb"])]


def _stall(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    status = (Status.UPLOADING, Status.PROCESSING)[seed % 2]
    archive.set(photo, status=status, thumb_key=None, medium_key=None, full_key=None)
    code = Code.STUCK_UPLOADING if status is Status.UPLOADING else Code.STUCK_PROCESSING
    return [(code, photo.original)]


def _promise(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.set(photo, status=Status.UPLOADING, thumb_key=None, medium_key=None, full_key=None)
    for key in photo.keys.values():
        archive.delete(key)
    return [(Code.STUCK_UPLOADING, photo.original)]


def _expire(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    lapsed = datetime.now(UTC) - timedelta(minutes=5)
    archive.set(photo, status=Status.PROCESSING, attempts=3, leased_until=lapsed)
    return [(Code.STUCK_PROCESSING, photo.original)]


def _fail(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.set(photo, status=Status.FAILED, error="no decoder recognises it")
    return [(Code.FAILED, str(photo.id))]


def _transition(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.set(photo, storage_class="GLACIER")
    return [(Code.CLASS_DRIFT, photo.original)]


def _transition_bare(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.set(photo, storage_class="GLACIER")
    archive.delete(photo.keys["full"])
    return [
        (Code.ARCHIVED_WITHOUT_VARIANTS, str(photo.id)),
        (Code.CLASS_DRIFT, photo.original),
        (Code.MISSING_VARIANT, photo.keys["full"]),
    ]


def _transition_unnamed(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.set(photo, storage_class="GLACIER", full_key=None)
    return [(Code.CLASS_DRIFT, photo.original), (Code.MISSING_VARIANT, photo.keys["full"])]


def _outdate(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.set(photo, recipe="00000000")
    return [(Code.STALE_RECIPE, str(photo.id))]


def _rot(archive: Archive, photo: Photo, _seed: int) -> list[Summary]:
    archive.put(photo.original, bytes(reversed(photo.body)))
    return [(Code.CHECKSUM_MISMATCH, photo.original)]


def _date_badly(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    cannot_be = datetime(1800, 1, 1, tzinfo=UTC) if seed % 2 else datetime.now(UTC) + timedelta(days=2 + seed)
    archive.set(photo, taken_at=cannot_be)
    return [(Code.UNLIKELY_DATE, str(photo.id))]


def _at_work(archive: Archive, photo: Photo, seed: int) -> list[Summary]:
    """No damage: a worker holds the row."""
    held = datetime.now(UTC) + timedelta(minutes=5)
    archive.set(photo, status=Status.PROCESSING, attempts=2, leased_until=held, thumb_key=None)
    archive.delete(photo.keys[list(Variant)[seed % 3]])
    return []


def _nothing(_archive: Archive, _photo: Photo, _seed: int) -> list[Summary]:
    return []


DAMAGES: tuple[Damage, ...] = (
    _delete_original, _delete_variant, _delete_everything, _truncate, _empty, _orphan, _stray, _unknown, _beside, _unname,
    _swap, _stall, _promise, _expire, _fail, _transition, _transition_bare, _transition_unnamed, _outdate, _rot, _date_badly, _at_work,
    _nothing,
)  # fmt: skip
