"""One image's blobs as files of a directory: the small case of an export, without a bag."""

import os
from collections.abc import Iterator
from pathlib import Path

from imgctl.errors import UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Image
from imgctl.ops.export.blobs import Wanted, deliver, safe_keys
from imgctl.ops.export.names import safe
from imgctl.ops.export.order import Fate, Outcome
from imgctl.ops.export.sinks import DirectorySink, digest_of
from imgctl.store.blobs.base import BlobStore


def fetch(store: BlobStore, image: Image, out: Path, *, force: bool = False) -> Iterator[Outcome]:
    """Download the original and the variants that the row knows to be safe, each into `out`.

    The original gets the file name it came with, where that is known and not taken by another content; the others are
    named as their keys end. A file that is there and the same counts as done; one that differs stays, and fails the
    download, unless `force`.
    """
    sink = DirectorySink(out, hint="--force writes over it")
    sink.begin(0)
    for role, key in safe_keys(image):
        path, there = _place(out, image, role, key)
        wanted = Wanted(image=image, role=role, key=key, path=path)
        if there and not force:
            yield wanted.outcome(Fate.PRESENT, size=image.bytes or 0)
        else:
            yield deliver(store, wanted, sink, over=force)[0]


def _place(out: Path, image: Image, role: str, key: str) -> tuple[str, bool]:
    """The name that a blob gets, and whether that very original lies there already."""
    own = key.rpartition("/")[2]
    if role != ORIGINAL:
        return own, False
    # Cameras count from 1 again: a second photo of that name keeps the name of its key.
    for name in filter(None, (safe(image.name or ""), own)):
        path = out / name
        try:
            there = image.sha256 is not None and path.is_file() and digest_of(path) == image.sha256
        except OSError as error:
            raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check --out") from None
        if there or not os.path.lexists(path):
            return name, there
    return own, False
