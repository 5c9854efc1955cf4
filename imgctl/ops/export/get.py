"""One image's blobs as files of a directory: the small case of an export, without a bag."""

import os
from collections.abc import Iterator
from pathlib import Path

from imgctl.errors import usable
from imgctl.keys import ORIGINAL
from imgctl.model import Image
from imgctl.ops.export.blobs import Wanted, deliver, safe_keys
from imgctl.ops.export.names import safe
from imgctl.ops.export.options import Fate, Outcome
from imgctl.ops.export.sinks import DirectorySink, digest_of
from imgctl.store.blobs.base import BlobStore


def fetch(store: BlobStore, image: Image, out: Path, *, force: bool = False) -> Iterator[Outcome]:
    """Download the original and the variants that the row records as stored, into `out`.

    The original gets its uploaded file name, if that is known and not taken by other content; variants get the last
    part of their keys. An identical existing file counts as done; a different one is kept, and fails the download,
    unless `force` is set.
    """
    sink = DirectorySink(out, hint="--force overwrites it")
    sink.begin(0)
    for role, key in safe_keys(image):
        path, there = _place(out, image, role, key)
        wanted = Wanted(image=image, role=role, key=key, path=path)
        if there and not force:
            yield wanted.outcome(Fate.PRESENT, size=image.bytes or 0)
        else:
            yield deliver(store, wanted, sink, over=force)[0]


def _place(out: Path, image: Image, role: str, key: str) -> tuple[str, bool]:
    """Return the file name of a blob, and whether that original exists there already."""
    own = key.rpartition("/")[2]
    if role != ORIGINAL:
        return own, False
    # Cameras restart their numbering: a second photo of the same name gets the name in its key.
    for name in filter(None, (safe(image.name or ""), own)):
        path = out / name
        with usable(path, "check --out"):
            there = image.sha256 is not None and path.is_file() and digest_of(path) == image.sha256
        if there or not os.path.lexists(path):
            return name, there
    return own, False
