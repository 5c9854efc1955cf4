"""Delivery of an image's blobs to a target: streams that end in an error if the content does not match the row."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing, ImgctlError, StateError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status, Variant
from imgctl.ops.common.range_reads import chunks
from imgctl.ops.export.options import Fate, Outcome
from imgctl.ops.export.sinks import Sink, Written
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A blob of an image, and its path in the export."""

    image: Image
    role: str
    key: str
    path: str

    @property
    def sha256(self) -> bytes | None:
        """The expected SHA-256 of its bytes, if the row has it."""
        return self.image.sha256 if self.role == ORIGINAL else None

    @property
    def content_type(self) -> str:
        """The content type of its bytes."""
        return (self.image.content_type or "") if self.role == ORIGINAL else f"image/{self.key.rpartition('.')[2]}"

    @property
    def at(self) -> datetime:
        """The modification time of its file."""
        return self.image.taken_at or self.image.uploaded_at

    def outcome(self, fate: Fate, detail: str = "", *, size: int = 0) -> Outcome:
        """Return the outcome of this blob."""
        return Outcome(
            image=self.image.id, role=self.role, key=self.key, path=self.path, fate=fate, bytes=size, detail=detail
        )


def deliver(
    store: BlobStore,
    wanted: Wanted,
    sink: Sink,
    *,
    over: bool = False,
    ahead: Callable[[Written], None] = lambda _: None,
) -> tuple[Outcome, Written | ImgctlError]:
    """Fetch, check and write one blob; returns the outcome, and the file or the error. StateError if the target fails.

    Calls `ahead` with the checked bytes, before a directory or a bucket has them under the blob's path.
    """
    try:
        found = pieces(store, wanted, ahead)
        written = sink.put(wanted.path, found, content_type=wanted.content_type, at=wanted.at, over=over)
    except StateError:
        raise
    except ImgctlError as error:
        fate = Fate.ARCHIVED if isinstance(error, BlobArchived) else Fate.FAILED
        return wanted.outcome(fate, error.line), error
    return wanted.outcome(Fate.SAVED if written.anew else Fate.PRESENT, size=written.size), written


def safe_keys(image: Image) -> Iterator[tuple[str, str]]:
    """Yield the roles and keys of the blobs that the row records as stored."""
    if image.original_key and image.status is not Status.UPLOADING:
        yield ORIGINAL, image.original_key
    for variant in Variant:
        if key := image.key(variant):
            yield variant, key


def pieces(store: BlobStore, wanted: Wanted, ahead: Callable[[Written], None]) -> Iterator[bytes]:
    """Yield the blob's bytes, 8 MiB at most at a time, then call `ahead`.

    BlobCorrupt after the last bytes if an original does not match its row.
    """
    blob = store.head(wanted.key)
    if blob is None:
        raise BlobMissing(f"there is no blob {wanted.key}", hint=f"imgctl show {wanted.image.id} lists what is missing")
    digest, size = hashlib.sha256(), 0
    for chunk in chunks(store, blob):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    _check(wanted, size=size, digest=digest.digest())
    ahead(Written(sha256=digest.digest(), size=size))


def _check(wanted: Wanted, *, size: int, digest: bytes) -> None:
    image, key = wanted.image, wanted.key
    if not size:
        raise BlobCorrupt(f"{key} is empty", hint=f"imgctl repair --id {image.id}")
    if wanted.role != ORIGINAL:
        return
    if image.bytes is not None and size != image.bytes:
        raise BlobCorrupt(
            f"{key} has {count_of(size, 'byte')}, its row {image.bytes:,}", hint=f"imgctl show {image.id}"
        )
    if image.sha256 is not None and digest != image.sha256:
        raise BlobCorrupt(
            f"{key} is not the picture that was uploaded: its SHA-256 differs", hint="imgctl audit --deep"
        )
