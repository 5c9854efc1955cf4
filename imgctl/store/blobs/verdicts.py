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


_HEAD_FIRST = "imgctl looks by HEAD before each put instead; only puts of one key at the same moment could overwrite"
_ONE_WRITER = "nothing to do; a server that checks it is safer where several programs write to this bucket"
_GRANT = "allow PutObject and DeleteObject on .imgctl-check/* below the store's prefix"

_VERDICTS: dict[tuple[str, Kept], tuple[Level, str, str]] = {
    ("put-if-absent", Kept.YES): (Level.OK, "a put under a key that is taken is refused", ""),
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
        "no permission to try If-None-Match: *; each put carries it, whether it is obeyed is unknown",
        _GRANT,
    ),
    ("checksum", Kept.YES): (Level.OK, "a body that differs from its checksum is refused", ""),
    ("checksum", Kept.IGNORED): (
        Level.WARN,
        "the server stores a body that differs from its checksum: damage on the way is not noticed",
        "use https:// for the endpoint; imgctl audit --deep finds damage",
    ),
    ("checksum", Kept.UNKNOWN): (
        Level.WARN,
        'puts carry no checksum ([store] checksum = "none"): damage on the way is not noticed',
        "use https:// for the endpoint; imgctl audit --deep finds damage",
    ),
    ("order", Kept.YES): (Level.OK, "listings are in byte order, and begin behind start-after", ""),
    ("order", Kept.IGNORED): (
        Level.FAIL,
        "listings are out of byte order, or ignore start-after: audit and repair cannot compare them with the catalog",
        "use another server; imgctl audit --user UUID works without listings",
    ),
    ("if-match", Kept.YES): (Level.OK, "a ranged GET is refused when its If-Match differs", ""),
    ("if-match", Kept.IGNORED): (
        Level.WARN,
        "a ranged GET is answered though its If-Match differs: a blob replaced while it is read may come mixed",
        "let nothing but imgctl write below the store's prefix",
    ),
    ("if-match", Kept.NOT_IMPLEMENTED): (
        Level.FAIL,
        "a GET with Range is not answered with that range: insert, get and large originals fail",
        "use another server",
    ),
    ("etag", Kept.YES): (Level.OK, "PUT answers with an ETag", ""),
    ("etag", Kept.IGNORED): (
        Level.FAIL,
        "PUT answers without an ETag: puts fail, and uploads in parts cannot be completed",
        "use another server",
    ),
}


def verdicts(traits: Traits) -> list[Verdict]:
    """A verdict for each trait that this kind of store can have."""
    names = dict.fromkeys(name for name, _ in _VERDICTS)
    found = {name: getattr(traits, name.replace("-", "_")) for name in names}
    return [verdict(name, kept) for name, kept in found.items() if kept not in (None, Kept.NOT_APPLICABLE)]


def verdict(name: str, kept: Kept) -> Verdict:
    """Return the verdict for the trait of this name."""
    level, detail, hint = _VERDICTS[name, kept]
    return Verdict(name=name, level=level, detail=detail, hint=hint)


def warning(put_if_absent: Kept | None) -> str:
    """Return the warning to log about the store's put-if-absent; empty if it works, or nothing was put."""
    if put_if_absent is None:
        return ""
    found = verdict("put-if-absent", put_if_absent)
    return found.detail if found.level is not Level.OK else ""
