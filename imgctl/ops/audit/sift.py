"""The merge of rows and listings: one pass over both, from which only what looks wrong comes out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from imgctl.errors import KeyShapeError
from imgctl.keys import ORIGINAL, key_of, parse_key
from imgctl.model import INTELLIGENT_TIERING
from imgctl.ops.audit.lanes import Lane, Seen
from imgctl.store.catalog.audit import Line, State

# Where a Line has what follows its four keys.
BYTES, STATE, CLASS, ID = 4, 5, 6, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """What must be looked at again: an image, or a blob that none is known for, and the blobs seen of it."""

    id: UUID | None
    seen: dict[str, Seen] = field(default_factory=dict)


def sift(
    rows: Iterable[Sequence[Line]], lanes: Sequence[Lane], *, passed: Callable[[int], None] = lambda _: None
) -> Iterator[Suspect]:
    """Every row and blob that does not fit the other, in the order of ids; `passed` hears how many rows went by."""
    single = lanes[0] if len(lanes) == 1 else None
    for batch in rows:
        for line in batch:
            if single is not None:
                # The way of nearly every row: no object is made, nothing is parsed.
                if line[STATE] == State.PLAIN and single.fits(line):
                    continue
                yield from _look(line, lanes)
            else:
                yield from _apart(line, lanes)
        passed(len(batch))
    for lane in lanes:
        yield from _strays(lane, "")


def strays(lane: Lane, *, prefixes: Sequence[str]) -> Iterator[Suspect]:
    """Every blob of a lane without rows, but for those below `prefixes`."""
    for key, seen in lane.strays(""):
        if not key.startswith(tuple(prefixes)):
            yield Suspect(id=None, seen={key: seen})


def id_of(key: str, prefixes: Iterable[str]) -> UUID | None:
    """Whose a key is, by its shape; None for a key of no image."""
    for prefix in prefixes:
        try:
            found = parse_key(key, prefix=prefix)
        except KeyShapeError:
            continue
        return found.id
    return None


def stem_of(image: UUID, prefix: str) -> str | None:
    """What all keys of an image begin with; None for an id past the year 9999, which can have none."""
    try:
        return key_of(image, "", "", prefix=prefix).removesuffix(".")
    except (OverflowError, ValueError):
        return None


def _apart(line: Line, lanes: Sequence[Lane]) -> Iterator[Suspect]:
    if line[STATE] == State.PLAIN:
        fits = [lane.fits(line) for lane in lanes]
        if all(fits):
            return
        # What has fitted is behind us, and needs no second look.
        yield from _look(line, [lane for lane, fit in zip(lanes, fits, strict=True) if not fit])
        return
    yield from _look(line, lanes)


def _look(line: Line, lanes: Sequence[Lane]) -> Iterator[Suspect]:
    image = UUID(str(line[ID]))
    seen: dict[str, Seen] = {}
    for lane in lanes:
        stem = stem_of(image, lane.prefix)
        if stem is not None:
            yield from _strays(lane, stem)
            seen |= lane.group(stem)
    if not _is_calm(line, seen, lanes):
        yield Suspect(id=image, seen=seen)


def _is_calm(line: Line, seen: dict[str, Seen], lanes: Sequence[Lane]) -> bool:
    """Whether a row in progress shows what such a row may."""
    state = line[STATE]
    if state not in (State.BUSY, State.QUEUED) or any(id_of(key, _prefixes(lanes)) is None for key in seen):
        return False
    if state == State.BUSY:
        return True
    originals = [key for key in line[:BYTES] if isinstance(key, str) and f"-{ORIGINAL}." in key]
    others = [key for key in seen if f"-{ORIGINAL}." in key and key not in originals]
    if len(originals) != 1 or others or originals[0] not in seen:
        return False
    found = seen[originals[0]]
    told = found.storage_class not in (None, INTELLIGENT_TIERING)
    drifted = found.storage_class is not None and not (told and found.storage_class == (line[CLASS] or "STANDARD"))
    return found.size > 0 and line[BYTES] in (None, found.size) and not drifted


def _prefixes(lanes: Sequence[Lane]) -> list[str]:
    return [lane.prefix for lane in lanes]


def _strays(lane: Lane, before: str) -> Iterator[Suspect]:
    for key, seen in lane.strays(before):
        yield Suspect(id=id_of(key, (lane.prefix,)), seen={key: seen})
