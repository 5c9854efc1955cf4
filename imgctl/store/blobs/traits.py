"""The tested features of a store that imgctl relies on, and what each result means to an operator."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from imgctl.errors import BlobExists, StoreDenied, StoreError


class Kept(StrEnum):
    """The result of testing whether a store implements a feature."""

    YES = "yes"
    IGNORED = "ignored"
    NOT_IMPLEMENTED = "not_implemented"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


@dataclass(slots=True, kw_only=True)
class Traits:
    """The features of one store, each tested once in a run, on first use. None: not yet tested.

    `put_if_absent`: rejects `If-None-Match: *` for an existing key. `checksum`: rejects a body whose checksum
    differs. `order`: lists in UTF-8 byte order from start-after on. `if_match`: returns the range of a ranged GET,
    and rejects it under another ETag. `etag`: returns one for a PUT. `versions`: keeps overwritten objects.
    `lists_restores`: reports restores in listings. `sorts_segments`: lists `a/b` before `a-b`.
    """

    put_if_absent: Kept | None = None
    versions: bool | None = field(default=None, compare=False)
    lists_restores: bool = field(default=True, compare=False)
    sorts_segments: bool | None = field(default=None, compare=False)
    checksum: Kept = Kept.NOT_APPLICABLE
    order: Kept = Kept.NOT_APPLICABLE
    if_match: Kept = Kept.NOT_APPLICABLE
    etag: Kept = Kept.NOT_APPLICABLE


def put_twice(put: Callable[[], object], *, delete: Callable[[], object]) -> Kept:
    """Put twice under a new key, to test whether the second put is rejected; the object is deleted."""
    try:
        put()
        put()
    except StoreDenied:
        return Kept.UNKNOWN
    except BlobExists:
        kept = Kept.YES
    else:
        kept = Kept.IGNORED
    with suppress(StoreError):
        delete()
    return kept


class Level(StrEnum):
    """Whether imgctl works as it should (ok), by other means or with less assurance (warn), or not at all (fail)."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check, as doctor prints it; `hint` is the next step if its level is not ok."""

    name: str
    level: Level
    detail: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether imgctl works, if need be by other means."""
        return self.level is not Level.FAIL


_HEAD_FIRST = "imgctl checks by HEAD before each put instead; only simultaneous puts of one key could overwrite"
_ONE_WRITER = "nothing to do; if several programs write to this bucket, a server that checks it is safer"
_GRANT = "allow PutObject and DeleteObject on .imgctl-check/* below the store's prefix"

_VERDICTS: dict[tuple[str, Kept], tuple[Level, str, str]] = {
    ("put-if-absent", Kept.YES): (Level.OK, "a put under an existing key is rejected", ""),
    ("put-if-absent", Kept.IGNORED): (
        Level.WARN,
        f"the server ignores If-None-Match: * and overwrites; {_HEAD_FIRST}",
        _ONE_WRITER,
    ),
    ("put-if-absent", Kept.NOT_IMPLEMENTED): (
        Level.WARN,
        f"the server does not implement If-None-Match (501); {_HEAD_FIRST}",
        _ONE_WRITER,
    ),
    ("put-if-absent", Kept.UNKNOWN): (
        Level.WARN,
        "no permission to test If-None-Match: *; each put has the header, but the server may ignore it",
        _GRANT,
    ),
    ("checksum", Kept.YES): (Level.OK, "a body that differs from its checksum is rejected", ""),
    ("checksum", Kept.IGNORED): (
        Level.WARN,
        "the server stores a body that differs from its checksum: damage in transit is not detected",
        "use https:// for the endpoint; imgctl audit --deep finds damage",
    ),
    ("checksum", Kept.UNKNOWN): (
        Level.WARN,
        'puts have no checksum ([store] checksum = "none"): damage in transit is not detected',
        "use https:// for the endpoint; imgctl audit --deep finds damage",
    ),
    ("order", Kept.YES): (Level.OK, "listings are in byte order and begin after start-after", ""),
    ("order", Kept.IGNORED): (
        Level.FAIL,
        "listings are out of byte order, or ignore start-after: audit and repair cannot compare them with the catalog",
        "use another server; imgctl audit --user UUID works without listings",
    ),
    ("if-match", Kept.YES): (Level.OK, "a ranged GET with another If-Match is rejected", ""),
    ("if-match", Kept.IGNORED): (
        Level.WARN,
        "the server ignores If-Match of a ranged GET: a blob replaced during a read may return mixed bytes",
        "let nothing but imgctl write below the store's prefix",
    ),
    ("if-match", Kept.NOT_IMPLEMENTED): (
        Level.FAIL,
        "a GET with Range does not return that range: insert, get and large originals fail",
        "use another server",
    ),
    ("etag", Kept.YES): (Level.OK, "PUT returns an ETag", ""),
    ("etag", Kept.IGNORED): (
        Level.FAIL,
        "PUT returns no ETag: puts fail, and multipart uploads cannot be completed",
        "use another server",
    ),
}


def verdicts(traits: Traits) -> list[Check]:
    """Return a verdict for each trait that applies to this kind of store."""
    names = dict.fromkeys(name for name, _ in _VERDICTS)
    found = {name: getattr(traits, name.replace("-", "_")) for name in names}
    return [verdict(name, kept) for name, kept in found.items() if kept not in (None, Kept.NOT_APPLICABLE)]


def verdict(name: str, kept: Kept) -> Check:
    """Return the verdict for the trait of this name."""
    level, detail, hint = _VERDICTS[name, kept]
    return Check(name=name, level=level, detail=detail, hint=hint)


def warning(put_if_absent: Kept | None) -> str:
    """Return the warning to log about the store's put-if-absent; empty if it works, or is not yet tested."""
    if put_if_absent is None:
        return ""
    found = verdict("put-if-absent", put_if_absent)
    return found.detail if found.level is not Level.OK else ""
