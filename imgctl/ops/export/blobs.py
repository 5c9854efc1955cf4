"""An image's blobs on their way to a target: streams that end in an error where they are not what the row says."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing, ImgctlError, StateError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status, Variant
from imgctl.ops.export.order import Fate, Outcome
from imgctl.ops.export.sinks import Sink, Written
from imgctl.ops.ranges import chunks
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A blob of an image, and the path it is to have."""

    image: Image
    role: str
    key: str
    path: str

    @property
    def sha256(self) -> bytes | None:
        """What its bytes must hash to, where the row knows."""
        return self.image.sha256 if self.role == ORIGINAL else None

    @property
    def content_type(self) -> str:
        """What its bytes are."""
        return (self.image.content_type or "") if self.role == ORIGINAL else f"image/{self.key.rpartition('.')[2]}"

    @property
    def at(self) -> datetime:
        """The date its file gets."""
        return self.image.taken_at or self.image.uploaded_at

    def outcome(self, fate: Fate, detail: str = "", *, size: int = 0) -> Outcome:
        """What became of it."""
        return Outcome(
            image=self.image.id, role=self.role, key=self.key, path=self.path, fate=fate, bytes=size, detail=detail
        )


def deliver(
    store: BlobStore, wanted: Wanted, sink: Sink, *, over: bool = False
) -> tuple[Outcome, Written | ImgctlError]:
    """Fetch, check and write one blob; what became of it, and the file or the error. StateError where nothing can be written."""
    try:
        found = pieces(store, wanted)
        written = sink.put(wanted.path, found, content_type=wanted.content_type, at=wanted.at, over=over)
    except StateError:
        raise
    except ImgctlError as error:
        fate = Fate.ARCHIVED if isinstance(error, BlobArchived) else Fate.FAILED
        return wanted.outcome(fate, error.line), error
    return wanted.outcome(Fate.SAVED if written.anew else Fate.PRESENT, size=written.size), written


def safe_keys(image: Image) -> Iterator[tuple[str, str]]:
    """The roles and keys of the blobs that the row knows to be safe."""
    if image.original_key and image.status is not Status.UPLOADING:
        yield ORIGINAL, image.original_key
    for variant in Variant:
        if key := image.key(variant):
            yield variant, key


def pieces(store: BlobStore, wanted: Wanted) -> Iterator[bytes]:
    """The blob's bytes, 8 MiB at most at a time; BlobCorrupt behind the last where an original is not its row's content."""
    blob = store.head(wanted.key)
    if blob is None:
        raise BlobMissing(f"there is no blob {wanted.key}", hint=f"imgctl show {wanted.image.id} says what is missing")
    digest, size = hashlib.sha256(), 0
    for chunk in chunks(store, blob):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    _check(wanted, size=size, digest=digest.digest())


def _check(wanted: Wanted, *, size: int, digest: bytes) -> None:
    image, key = wanted.image, wanted.key
    if not size:
        raise BlobCorrupt(f"{key} is empty", hint=f"imgctl repair --id {image.id}")
    if wanted.role != ORIGINAL:
        return
    if image.bytes is not None and size != image.bytes:
        raise BlobCorrupt(
            f"{key} has {count_of(size, 'byte')}, its row says {image.bytes:,}", hint=f"imgctl show {image.id}"
        )
    if image.sha256 is not None and digest != image.sha256:
        raise BlobCorrupt(
            f"{key} is not the picture that was uploaded: its SHA-256 differs", hint="imgctl audit --deep"
        )
