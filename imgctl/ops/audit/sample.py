"""A random sample of ready images rendered again, small, and compared with their stored variants."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobMissing, ImgctlError, LocalError, out_of_files
from imgctl.imaging.compare import THRESHOLD, difference, small
from imgctl.imaging.decoders.decode import Limits
from imgctl.imaging.render import configure
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status, StorageClass, Variant, is_archived
from imgctl.ops.audit.findings import Code, Finding, about
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.rows import pages
from imgctl.ops.work.driver import rendering
from imgctl.ops.work.render_task import fetch, set_up_child
from imgctl.run.budgets import bounded
from imgctl.run.limits import time_limit
from imgctl.run.pools.pool import ChildDied
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.queries.audit import drawn, places
from imgctl.store.catalog.queries.lookups import by_id

# Draws per place of the table before all rows are read instead: then only a small share of rows is ready.
_MOST_DRAWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The variants that differ from their original, as role and detail; `gone`: nothing could be compared."""

    differing: tuple[tuple[str, str], ...] = ()
    gets: int = 0
    gone: bool = False


def look(parts: Parts, *, tally: Tally, stop: StopSignal, sample: Sequence[Image]) -> Iterator[Finding]:
    """Find variants of the `sample` that show another picture than their original; unreadable images are counted.

    Archived originals are left out, even restored ones: a restored copy is for the user who paid for it.
    """
    settings = parts.settings
    warm = [image for image in sample if not is_archived(image.storage_class)]
    tally.add_work(look_archived=len(sample) - len(warm))
    with rendering(settings, setup=partial(set_up_child, settings.log)) as (work, pool):
        task = partial(
            look_at,
            store=work.store,
            spool=work.spool,
            background=settings.variants.background,
            limits=work.limits,
            timeout_seconds=work.timeout_seconds,
        )
        limit = 2 * max(1, pool.slots())
        for image, future in bounded(partial(pool.submit, task), warm, limit=limit, stop=stop):
            try:
                looked = future.result()
            except (ChildDied, MemoryError):
                looked = Looked(gets=1, gone=True)
            tally.add_work(gets=looked.gets, looked=not looked.gone, look_failed=looked.gone)
            tally.add_read(image.storage_class or StorageClass.STANDARD, image.bytes or 0)
            if looked.differing and _still(parts, image, stop):
                for role, detail in looked.differing:
                    yield about(image, Code.VARIANT_DIFFERS, detail, role=role, key=image.key(role))


def sampled(parts: Parts, order: AuditOrder, *, stop: StopSignal, draw: random.Random | None = None) -> list[Image]:
    """Return a uniform random sample of `order.look` ready rows of the scope; fewer if there are fewer.

    For the whole catalog, random places of its table are drawn, so that the table is not scanned; for a scope, its rows
    are read once. At most `order.look` rows are held.
    """
    draw = draw or random.SystemRandom()
    found = _by_places(parts, order.look, draw, stop) if order.is_whole else None
    return found if found is not None else _by_passing(parts, order, draw, stop)


def look_at(
    image: Image,
    *,
    store: StoreSettings,
    spool: Path | None,
    background: str,
    limits: Limits,
    timeout_seconds: float,
) -> Looked:
    """Read an image's blobs and compare them, in a child process; an error of a single blob is not raised."""
    blobs = _store(store)
    see = partial(small, background=background, limits=limits)
    gets, differing = 0, []
    with time_limit(timeout_seconds or 1e9):
        try:
            gets += 1
            fetched = fetch(blobs, image.original_key or "", size=image.bytes or 0, directory=spool)
        except ImgctlError:
            # Missing or unreadable: other findings report that.
            return Looked(gets=gets, gone=True)
        try:
            with closing(fetched):
                original = see(fetched.data)
        except MemoryError:
            raise
        except Exception as error:
            return _unrendered(error, gets)
        named = [(role, key) for role in Variant if (key := image.key(role))]
        for role, key in named:
            try:
                gets += 1
                apart = difference(original, see(blobs.get(key)))
            except BlobMissing:
                continue
            except MemoryError:
                raise
            except Exception as error:
                differing.append((role, f"the {role} cannot be decoded: {_text(error)}"))
                continue
            if apart > THRESHOLD:
                differing.append((role, f"the {role} differs from its original by {apart:.0f} of 255 on average"))
    return Looked(gets=gets, differing=tuple(differing))


def _unrendered(error: Exception, gets: int) -> Looked:
    """Return the result for an original that did not render; a lack of this machine proves nothing about it."""
    if isinstance(error, LocalError) or out_of_files(error):
        return Looked(gets=gets, gone=True)
    return Looked(gets=gets, differing=((ORIGINAL, f"the original no longer renders: {_text(error)}"),))


def _by_places(parts: Parts, count: int, draw: random.Random, stop: StopSignal) -> list[Image] | None:
    """Draw the sample by places; None if so few hold a ready row that reading all rows is cheaper."""

    def draw_once(connection: Connection) -> tuple[int, list[Image]]:
        there = places(connection)
        return len(there), drawn(connection, there, draw)

    found: dict[UUID, Image] = {}
    tried = 0
    while len(found) < count and not stop.is_set():
        number, rows = read(parts.catalog, draw_once, stop=stop)
        for image in rows:
            if len(found) < count:
                found.setdefault(image.id, image)
        tried += 500
        if tried > _MOST_DRAWS * number + 5_000:
            return None
    return list(found.values())


def _by_passing(parts: Parts, order: AuditOrder, draw: random.Random, stop: StopSignal) -> list[Image]:
    """Draw the sample from a stream: the n-th row takes a place with probability count / n (algorithm R)."""
    kept: list[Image] = []
    rows = chain.from_iterable(pages(parts.catalog, order.chosen, stop=stop))
    for number, image in enumerate(one for one in rows if one.status is Status.READY):
        if number < order.look:
            kept.append(image)
        elif (place := draw.randrange(number + 1)) < order.look:
            kept[place] = image
    return kept


def _still(parts: Parts, image: Image, stop: StopSignal) -> bool:
    """Whether the row is unchanged: a variant may have been rebuilt meanwhile."""
    return read(parts.catalog, partial(by_id, image_id=image.id), stop=stop) == image


def _text(error: Exception) -> str:
    return error.message if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"


@cache
def _store(settings: StoreSettings) -> BlobStore:
    configure()
    return open_store(settings)
