"""Downloading an image's blobs: streamed, verified, whole or not at all, and never over a file that differs."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imgctl.errors import BlobCorrupt, BlobMissing, ImgctlError, UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status, Variant
from imgctl.ops.ranges import chunks
from imgctl.run.scratch import atomic_write
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of


class Fate(StrEnum):
    """How a download ended."""

    SAVED = "saved"
    PRESENT = "present"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One blob of an image and the file it became; `detail` says why it failed."""

    image: UUID
    role: str
    key: str
    path: Path
    fate: Fate
    bytes: int = 0
    detail: str = ""


def fetch(store: BlobStore, image: Image, out: Path, *, force: bool = False) -> Iterator[Fetched]:
    """Download the original and the variants that the row knows to be safe.

    The original gets the file name it came with, where that is known and not taken by another content in `out`; the
    others are named as their keys end. The original must have the row's size and SHA-256. A file that is there and the
    same counts as done; one that differs stays, and fails the download, unless `force`.
    """
    make_directory(out)
    for role, key in _keys(image):
        path = out / key.rpartition("/")[2]
        try:
            path, there = _place(path, image, role)
            if there and not force:
                size, fate = path.stat().st_size, Fate.PRESENT
            else:
                size, fate = _one(store, image, role, key, path, force=force)
        except ImgctlError as error:
            yield Fetched(image=image.id, role=role, key=key, path=path, fate=Fate.FAILED, detail=error.line)
        else:
            yield Fetched(image=image.id, role=role, key=key, path=path, fate=fate, bytes=size)


def make_directory(out: Path) -> None:
    """Make the directory downloads go to; UsageError where none can be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {(error.strerror or str(error)).lower()}", hint="name a directory") from None


def _keys(image: Image) -> Iterator[tuple[str, str]]:
    if image.original_key and image.status is not Status.UPLOADING:
        yield ORIGINAL, image.original_key
    for variant in Variant:
        if key := image.key(variant):
            yield variant, key


def _place(own: Path, image: Image, role: str) -> tuple[Path, bool]:
    """Where a blob goes whose key gives it the name of `own`, and whether that very original lies there already."""
    wanted = image.sha256 if role == ORIGINAL else None
    # Without the dots that would hide it.
    name = (image.name or "").lstrip(".") if role == ORIGINAL else ""
    # Cameras count from 1 again: a second photo of that name keeps the name of its key.
    for path in (own.with_name(name), own) if name else (own,):
        try:
            there = wanted is not None and path.is_file() and _digest(path) == wanted
        except OSError as error:
            raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check --out") from None
        if there or not os.path.lexists(path):
            return path, there
    return own, False


def _one(store: BlobStore, image: Image, role: str, key: str, path: Path, *, force: bool) -> tuple[int, Fate]:
    size, digest = 0, b""
    try:
        # Anew: what is there stays, also what came while this was downloading.
        with atomic_write(path, anew=not force) as new:
            size, digest = _download(store, key, new)
            _check(image, role, key, size=size, digest=digest)
    except FileExistsError:
        if path.is_file() and _digest(path) == digest:
            return size, Fate.PRESENT
        raise UsageError(f"{path} is there and differs", hint="--force writes over it") from None
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check --out") from None
    return size, Fate.SAVED


def _download(store: BlobStore, key: str, path: Path) -> tuple[int, bytes]:
    """Write the blob to a file, chunk by chunk; returns its size and SHA-256."""
    blob = store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="imgctl show says what is missing")
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks(store, blob):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return size, digest.digest()


def _check(image: Image, role: str, key: str, *, size: int, digest: bytes) -> None:
    if not size:
        raise BlobCorrupt(f"{key} is empty", hint=f"imgctl repair --id {image.id}")
    if role != ORIGINAL:
        return
    if image.bytes is not None and size != image.bytes:
        raise BlobCorrupt(
            f"{key} has {count_of(size, 'byte')}, its row says {image.bytes:,}", hint=f"imgctl show {image.id}"
        )
    if image.sha256 is not None and digest != image.sha256:
        raise BlobCorrupt(
            f"{key} is not the picture that was uploaded: its SHA-256 differs", hint="imgctl audit --deep"
        )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
