"""Runs a worker in the test's process, so that the test can reach its only child; makes pictures that harm it."""

import multiprocessing
import os
import struct
import zlib
from binascii import crc32
from contextlib import suppress

from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Recipe
from imgctl.ops.work.options import ImageOutcome, WorkOrder
from imgctl.ops.work.queue import work
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import PoolSettings
from imgctl.run.stop import Stop
from imgctl.store.catalog.engine import open_catalog
from tests.whole.deployment import Deployment

MIB = 2**20

# The passes of an interlaced PNG: first column and row, and the steps to the next (PNG specification, 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def order_for(deployment: Deployment) -> WorkOrder:
    """Return the function that runs a worker of this deployment until the queue is empty."""
    return WorkOrder(
        store=deployment.store,
        recipe=Recipe(),
        lease_seconds=10,
        max_attempts=1,
        limits=Limits(),
        timeout_seconds=60,
        drain=True,
    )


def work_in_one_child(
    deployment: Deployment, order: WorkOrder, *, memory_bytes: int = 0, stop: Stop | None = None
) -> list[ImageOutcome]:
    """Work to the end with one rendering process at a time."""
    catalog, pool = open_catalog(deployment.catalog_url), open_pool(PoolSettings(jobs=1, memory_bytes=memory_bytes))
    try:
        return list(work(order, catalog=catalog, pool=pool, stop=stop or Stop()))
    finally:
        pool.close(now=True)
        catalog.close()


def signal_the_child(number: int) -> None:
    """Send a signal to the only rendering process of this process."""
    for child in multiprocessing.active_children():
        if type(child).__name__ == "SpawnProcess" and child.pid:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)


def vast_png(edge: int, *, interlaced: bool = False) -> bytes:
    """Return a PNG of `edge`² transparent pixels of 8 bytes (four samples of 16 bits), in a few megabytes."""
    steps = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    size = sum(-(-(edge - top) // down) * (1 + -(-(edge - left) // right) * 8) for left, top, right, down in steps)
    header = struct.pack(">IIBBBBB", edge, edge, 16, 6, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", _zeros(size)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc32(name + body))


def _zeros(size: int) -> bytes:
    """Return `size` zeros as a zlib stream; only a mebibyte of them is compressed."""
    packer = zlib.compressobj(wbits=-15)
    segment = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(size % MIB)) + packer.flush(zlib.Z_FINISH)
    # Adler-32 of zeros: the low half stays 1, the high half counts them.
    return b"\x78\x9c" + segment * (size // MIB) + rest + struct.pack(">HH", size % 65521, 1)
