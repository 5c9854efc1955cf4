"""The documentation's console blocks as sessions: read from a page, run in one directory, compared by ellipsis.

A page runs its blocks in order. Before the first stands, invisible to readers, what it begins with:
`<!-- session: fresh -->` has the demo's pictures in `photos` and nothing else, `<!-- session: ready -->` has them uploaded 120
days ago and their variants built; `on seaweed` and `on moto` put them into a bucket there. In a block `…` stands for anything
within a line and, alone on a line, for any lines. Times compare equal to any other; so do ids, and a later command that
names an id of the page is run with the id that was printed in its place.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgctl.config.places import StoreSettings
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
    """A deployment as in a directory without any configuration, or with a store of its own."""
    settings = {"IMGCTL_UPLOAD_JOURNAL": "journal.db", "IMGCTL_STORE_REGION": store.region, "COLUMNS": "120"}
    return Deployment(
        directory=directory, catalog_url="sqlite:///imgctl-data/catalog.db", store=store, settings=settings
    )


def write_photos(directory: Path) -> None:
    """The demo's pictures, in `photos`."""
    write_samples(directory / "photos")
    for path in directory.rglob("*.*"):
        # A journal remembers no file that was changed just now.
        os.utime(path, (1_700_000_000, 1_700_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a page begins with, and its blocks: each the lines typed and what they print."""

    start: str
    server: str
    steps: tuple[tuple[str, str], ...]


def session_of(page: str) -> Session | None:
    """The session of a page; None where it shows none."""
    steps = tuple(step for block in _BLOCK.findall(page) for step in _steps(block))
    if not steps:
        return None
    marker = _MARKER.search(page)
    assert marker, (
        "a page with console blocks says what it begins with: <!-- session: fresh --> or <!-- session: ready -->"
    )
    return Session(start=marker["start"], server=marker["server"] or "", steps=steps)


def _steps(block: str) -> Iterator[tuple[str, str]]:
    """Each line after `$ `, its continuations joined, with the text below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.replace("\\\n", "").partition("\n")
        yield command.strip(), shown


def play(session: Session, deployment: Deployment) -> list[str]:
    """Run a session; what printed something else, each with the command and both texts."""
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
    """The command with printed ids in place of shown ones."""
    return _ID.sub(lambda found: ids.get(found[0], found[0]), command)


def _run(command: str, deployment: Deployment) -> Result:
    """Run imgctl in a process of its own, whose output may go to a file; anything else in a shell."""
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
    """The printed id for each shown one, or None where `printed` is not what is shown; an empty block shows anything."""
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
    # A column is as wide as what it happens to hold.
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.strip().splitlines() if line.strip()]
