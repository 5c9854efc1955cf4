"""Explains each trait of a store to operators: the consequence, and the next step if there is one."""

from dataclasses import dataclass
from enum import StrEnum

from imgctl.store.blobs.traits import Kept, Traits


class Level(StrEnum):
    """Whether imgctl works as it should (ok), by other means or with less assurance (warn), or not at all (fail)."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on one trait: the consequence, and the next step where there is one."""

    name: str
    level: Level
    detail: str
    hint: str = ""


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


def verdicts(traits: Traits) -> list[Verdict]:
    """Return a verdict for each trait that applies to this kind of store."""
    names = dict.fromkeys(name for name, _ in _VERDICTS)
    found = {name: getattr(traits, name.replace("-", "_")) for name in names}
    return [verdict(name, kept) for name, kept in found.items() if kept not in (None, Kept.NOT_APPLICABLE)]


def verdict(name: str, kept: Kept) -> Verdict:
    """Return the verdict for the trait of this name."""
    level, detail, hint = _VERDICTS[name, kept]
    return Verdict(name=name, level=level, detail=detail, hint=hint)


def warning(put_if_absent: Kept | None) -> str:
    """Return the warning to log about the store's put-if-absent; empty if it works, or is not yet tested."""
    if put_if_absent is None:
        return ""
    found = verdict("put-if-absent", put_if_absent)
    return found.detail if found.level is not Level.OK else ""
