"""Finds words that the glossary replaces by the field's own: python -m tools.words FILE|DIRECTORY…

Names are split at underscores and capitals, so that `put_flights` and `PutFlight` are both found; file names count too.
Exit code 1 if there are hits.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Parts of names that are not the field's words.
NAMES = {
    "flight": "in_flight",
    "flights": "in_flight",
    "flying": "in_flight",
    "aloft": "in_flight",
    "lane": "cursor",
    "lanes": "cursors",
    "sift": "merge_join",
    "suspect": "candidate",
    "suspects": "candidates",
    "climb": "concurrency",
    "gate": "auth",
    "desk": "support",
    "sight": "observed",
    "joined": "row with blobs",
    "ring": "scrub_cursor",
    "sums": "aggregates",
    "promising": "reservations",
    "bury": "fail",
    "shelve": "park",
    "nap": "poll",
    "bell": "listen",
    "twins": "duplicates",
    "patience": "retry",
    "patiently": "retrying",
    "patient": "retry",
    "impatient": "retry",
    "hopeless": "fatal",
}
IN_FLIGHT = re.compile(r"in[_ -]?flight", re.IGNORECASE)

# In prose: comments, docstrings, messages, help and documents.
PHRASES = {
    r"(?:asks?|asked|asking) for patience": "throttled (503 SlowDown)",
    r"\bis away\b|\bnobody (?:there|answers)\b": "unreachable",
    r"\bthe database said no\b": "database error",
    r"(?<!there )\bis no (?!longer\b|more\b)\w+": "is not a …, invalid …, unknown …",
    r"\bnobody is said to own\b": "no owner given",
    r"\b(?:was|were) not agreed to\b": "needs --yes",
    r"\bso many\b": "N, up to N",
    r"\bhow dear\b|\bdearest\b": "price, top by cost",
    r"\bprices of its own\b": "price unknown for this endpoint",
    r"\btaken to weigh\b": "estimated at",
    r"\b(?:has|have|are) no such\b": "not found, no matching …",
    r"\bnobody (?:agreed|misses|may say)\b|\bwhoever did\b": "needs --yes, not needed, denied, its owner",
    r"\bmend(?:s|ed|ing)?\b": "repair, fix",
    r"\btells? of\b": "report",
    r"\baloft\b|\b(?:in mid-)?flights?\b(?<!in flight)": "in flight",
}
# Values of --json that scripts rely on.
STABLE = {"mend", "mended"}
_PHRASES = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in PHRASES.items()]
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, slots=True)
class Hit:
    """A word that the glossary replaces: its place, and the word to use instead."""

    path: Path
    line: int
    word: str
    instead: str


def in_name(name: str) -> Iterator[tuple[str, str]]:
    """Yield the replaced words in a name, each with the word to use instead."""
    for part in _PARTS.findall(IN_FLIGHT.sub("", name)):
        if instead := NAMES.get(part.lower()):
            yield part, instead


def in_prose(text: str) -> Iterator[tuple[str, str]]:
    """Yield the replaced phrases in a line of prose, each with the phrase to use instead."""
    for pattern, instead in _PHRASES:
        for found in pattern.findall(text):
            yield found, instead


def in_file(path: Path) -> Iterator[Hit]:
    """Every hit in a Python file's names and prose, or in a document's prose."""
    for word, instead in in_name(path.stem):
        yield Hit(path, 0, word, instead)
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        for number, line in enumerate(text.splitlines(), 1):
            # Code spans hold public names, which are kept.
            prose = re.sub(r"`[^`]*`", "", line)
            yield from (Hit(path, number, word, instead) for word, instead in in_prose(prose))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield from (Hit(path, token.start[0], word, instead) for word, instead in in_name(token.string))
        elif token.string.strip("\"'") in STABLE:
            continue
        elif token.type in {tokenize.STRING, tokenize.COMMENT} or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            for offset, line in enumerate(token.string.splitlines()):
                yield from (Hit(path, token.start[0] + offset, word, instead) for word, instead in in_prose(line))


def files(places: Iterable[Path]) -> Iterator[Path]:
    """The Python files and Markdown documents at or below `places`."""
    for place in places:
        found = place.rglob("*") if place.is_dir() else [place]
        yield from sorted(one for one in found if one.suffix in {".py", ".md", ".toml"} and one.is_file())


def main(arguments: list[str]) -> int:
    """Print each hit as `file:line: word → instead`."""
    hits = [hit for path in files(map(Path, arguments)) for hit in in_file(path)]
    for hit in hits:
        print(f"{hit.path}:{hit.line}: {hit.word!r} → {hit.instead}")
    return int(bool(hits))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
