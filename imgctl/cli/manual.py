"""The manual's pages (docs/), and rendering of Markdown for a terminal."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent, wrap
from typing import Final

# A symbolic link to docs/ in a checkout, a copy of its pages in an installation.
ROOT: Final = Path(__file__).parent.parent / "manual"
# Other words that users may look up, and the page for each.
ALIASES: Final = {
    "config": "settings",
    "environment": "settings",
    "laws": "design",
    "states": "design",
    "json": "ndjson",
    "records": "ndjson",
    "schema": "catalog",
    "alerts": "monitoring",
    "iam": "permissions",
    "grants": "permissions",
    "backup": "database",
    "systemd": "cron",
    "glacier": "cold",
    "minio": "s3-servers",
}
_FENCE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^(?=(?: *)(?:[*-]|\d+\.) )", re.MULTILINE)


def pages() -> dict[str, tuple[Path, ...]]:
    """Return the pages by name, ordered by folder; a guide and a reference page may share a name."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/*.md")):
        if path.stem != "index":
            found[path.stem] = (*found.get(path.stem, ()), path)
    return found


def title(page: Path) -> str:
    """Return the first heading of a page."""
    with page.open(encoding="utf-8") as lines:
        return next(line for line in lines if line.startswith("# "))[2:].strip()


def rendered(text: str, *, columns: int) -> Iterator[str]:
    """Yield the lines of a Markdown text for a terminal: wrapped, tables in columns, links as their text."""
    for part in _FENCE.split(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)):
        if part.startswith("```"):
            yield from (f"    {line}".rstrip() for line in part.splitlines()[1:-1])
            yield ""
            continue
        for block in re.split(r"\n\s*\n", part.strip("\n")):
            if block.strip():
                yield from _block(dedent(block.strip("\n")), columns)
                yield ""


def _block(block: str, columns: int) -> Iterator[str]:
    first, *rest = block.splitlines()
    if first.startswith("#"):
        heading = _plain(first.lstrip("# "))
        yield heading.upper() if first.startswith(("# ", "## ")) else heading
        if rest:
            yield from _block("\n".join(rest), columns)
    elif first.startswith("|"):
        yield from _table([_cells(line) for line in (first, *rest[1:])], columns)
    elif _ITEM.match(block):
        for item in filter(None, _ITEM.split(block)):
            mark = re.match(r" *(?:[*-]|\d+\.) ", item)
            hang = mark.end() if mark else 0
            yield from _wrapped(item[hang:], columns, first=item[:hang].rstrip().rjust(hang - 1) + " ", rest=" " * hang)
    else:
        yield from _wrapped(block, columns)


def _cells(line: str) -> list[str]:
    return [_plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _table(rows: Sequence[Sequence[str]], columns: int) -> Iterator[str]:
    """Yield a table as columns if they fit, else each row as its first cell with the others below it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 2 * len(widths) <= columns:
        yield from ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return
    header, *below = rows
    for first, *others in below:
        yield first
        for name, cell in zip(header[1:], others, strict=True):
            if cell:
                labelled = f"{name}: {cell}" if name and len(others) > 1 else cell
                yield from _wrapped(labelled, columns, first="    ", rest="      " if len(others) > 1 else "    ")


def _wrapped(text: str, columns: int, *, first: str = "", rest: str = "") -> Iterator[str]:
    yield from wrap(
        _plain(text),
        columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(text: str) -> str:
    """Return the text without links and emphasis; code keeps its backticks."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text))
    return "".join(part if part.startswith("`") else part.replace("**", "").replace("\\|", "|") for part in parts)
