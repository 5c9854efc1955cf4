"""Runs the documentation's console blocks as sessions: in one directory, with `…` as a wildcard.

The blocks of a page run in order. A comment before the first block sets the start: with `<!-- session: fresh -->` the
demo's pictures are in `photos`, with `<!-- session: ready -->` they were uploaded 120 days ago and have variants; `on
seaweed` and `on moto` use a bucket there. In a block `…` matches any text within a line and, alone on a line, any
lines. A time matches any time and an id any id; if a later command contains an id of the page, it runs with the id that
was printed in its place.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgctl.config.catalog_store import StoreSettings
from imgctl.ops.demo import write_samples
from tests.whole.deployment import Deployment, Result

_MARKER = re.compile(r"^<!-- session: (?P<start>fresh|ready)(?: on (?P<server>seaweed|moto))? -->$", re.MULTILINE)
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_VARYING = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?"), "WHEN"),
    (re.compile(r"\b20\d\d/\d\d/\d\d/"), "DAY/"),
)


EMBEDDED = StoreSettings(url="file://imgctl-data/blobs")


def at(directory: Path, store: StoreSettings = EMBEDDED) -> Deployment:
    """Return a deployment in a directory without configuration, or with this store."""
    settings = {"IMGCTL_UPLOAD_JOURNAL": "journal.db", "IMGCTL_STORE_REGION": store.region, "COLUMNS": "120"}
    return Deployment(
        directory=directory, catalog_url="sqlite:///imgctl-data/catalog.db", store=store, settings=settings
    )


def write_photos(directory: Path) -> None:
    """Write the demo's pictures to `photos`."""
    write_samples(directory / "photos")
    for path in directory.rglob("*.*"):
        # The journal does not record files that were just changed.
        os.utime(path, (1_700_000_000, 1_700_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The start of a page's session, and its steps: each a command and its output."""

    start: str
    server: str
    steps: tuple[tuple[str, str], ...]


def session_of(page: str) -> Session | None:
    """Return the session of a page; None if it has none."""
    steps = tuple(step for block in _BLOCK.findall(page) for step in _steps(block))
    if not steps:
        return None
    marker = _MARKER.search(page)
    assert marker, "a page with console blocks needs <!-- session: fresh --> or <!-- session: ready -->"
    return Session(start=marker["start"], server=marker["server"] or "", steps=steps)


def _steps(block: str) -> Iterator[tuple[str, str]]:
    """Yield each line after `$ `, with its continuations, and the text below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.replace("\\\n", "").partition("\n")
        yield command.strip(), shown


def play(session: Session, deployment: Deployment) -> list[str]:
    """Run a session; return the commands with another output, each with both texts."""
    wrong, code, printed_ids = [], 0, dict[str, str]()
    for command, shown in session.steps:
        if command == "echo $?":
            texts = [f"{code}\n"]
        else:
            done = _run(_renamed(command, printed_ids), deployment)
            code, texts = done.code, [done.out + done.err, done.err + done.out]
        ids = next((ids for text in texts if (ids := matched(shown, text)) is not None), None)
        if ids is None:
            wrong.append(f"$ {command}\n--- shown\n{shown}--- printed (exit code {code})\n{texts[0]}")
        else:
            printed_ids = ids | printed_ids
    return wrong


def _renamed(command: str, ids: dict[str, str]) -> str:
    """Return the command with the printed ids in place of those of the page."""
    return _ID.sub(lambda found: ids.get(found[0], found[0]), command)


def _run(command: str, deployment: Deployment) -> Result:
    """Run imgctl in its own process, with optional output to a file; run other commands in a shell."""
    words = shlex.split(command, comments=True)
    if words[0] != "imgctl":
        done = subprocess.run(
            ["bash", "-c", command], cwd=deployment.directory, capture_output=True, text=True, check=False
        )
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)
    target = deployment.directory / words.pop() if words[-2] == ">" else None
    if target:
        words.pop()
    result = deployment.run(*words[1:])
    if target:
        target.write_text(result.out)
    return Result(code=result.code, out="" if target else result.out, err=result.err)


def matched(shown: str, printed: str) -> dict[str, str] | None:
    """Return the printed id for each id of the page, or None if the output differs; an empty block matches all."""
    if not shown.strip():
        return {}
    lines = _lines(shown)
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else f"{_line_pattern(line)}\n" for line in lines)
    found = re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed)))
    ids = [one for line in lines for one in _ID.findall(line)]
    return None if found is None else dict(zip(reversed(ids), reversed(found.groups()), strict=True))


def _line_pattern(line: str) -> str:
    parts = [".*?".join(map(re.escape, part.split("…"))) for part in _ID.split(line)]
    return f"({_ID.pattern})".join(parts)


def _lines(text: str) -> list[str]:
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    # The width of a column depends on its content.
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.strip().splitlines() if line.strip()]
