"""Tests of the documentation: its generated parts are current, its commands parse, its links work."""

import os
import re
import shlex
from pathlib import Path

import click
import pytest

import imgctl.cli
from imgctl.cli.common.layout import EXIT_CODES, Command
from imgctl.cli.main import COMMANDS, cli
from imgctl.errors import ExitCode
from imgctl.ops.audit.findings import Code
from imgctl.store.blobs.traits import Kept
from tests.store.blobs.test_traits import FOUND
from tools.docs import (
    EXAMPLE,
    GENERATED,
    PAGES,
    README,
    ROOT,
    command_lines,
    commands,
    example_toml,
    filled,
    help_of,
    parse,
)
from tools.words import in_file

STALE = "is stale: run `make docs` and commit what it wrote"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the user's IMGCTL_ variables, which change how a command line parses."""
    for name in os.environ:
        if name.startswith("IMGCTL_"):
            monkeypatch.delenv(name)


def shown_lines() -> list[list[str]]:
    """Return every `imgctl …` line in the hand-written code blocks of the pages."""
    pages = [page for page in PAGES if page.name not in {"commands.md", "CHANGELOG.md"}]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]
    return [list(line) for line in sorted({tuple(line) for block in blocks for line in command_lines(block)})]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_generated_parts_of_a_page_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert filled(text) == text, f"{page.relative_to(ROOT)} {STALE}"


def test_every_generated_part_stands_once() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)

    wrong = [name for name in GENERATED if not text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1]
    assert not wrong


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 180


def test_example_configuration_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example_toml(), f"config.example.toml {STALE}"


def test_generated_help_depends_on_neither_terminal_nor_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = help_of("upload", commands()["upload"])
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("IMGCTL_STORE_URL", "s3://elsewhere")

    assert help_of("upload", commands()["upload"]) == before


def test_every_command_file_is_a_command_and_every_command_has_a_file() -> None:
    folder = Path(next(iter(imgctl.cli.__path__)))
    files = {
        path.stem
        for path in folder.rglob("*.py")
        if re.search(r"^@subcommand|^command = Command", path.read_text(), re.MULTILINE)
    }

    names = {name.split()[-1].replace("-", "_") for name, one in commands().items() if not isinstance(one, click.Group)}
    assert files == names


@pytest.mark.parametrize("name", commands())
def test_command_loads_and_its_help_ends_with_examples_and_exit_codes(name: str) -> None:
    text = help_of(name, commands()[name])

    assert text.startswith(f"Usage: imgctl {name} ")
    assert "Examples:\n" in text
    assert text.rstrip().endswith(EXIT_CODES.splitlines()[-1].strip())


@pytest.mark.parametrize("name", ["", *commands()])
def test_main_part_of_a_help_fits_one_screen(name: str) -> None:
    command = commands()[name] if name else cli
    text = help_of(name, command, columns=80)

    end = re.search(r"^(Description|More|Options of|  Exit)", text, re.MULTILINE)
    assert end
    lines = text[: end.start()].rstrip().splitlines()
    assert len(lines) <= 24
    assert not [line for line in lines if len(line) > 80]
    assert lines.index("Examples:") < next((lines.index(one) for one in ("Options:", "Commands:") if one in lines), 24)


@pytest.mark.parametrize("name", commands())
def test_every_option_stands_under_one_heading(name: str) -> None:
    command = commands()[name]
    if isinstance(command, Command):
        context = click.Context(command, help_option_names=["-h", "--help"])
        shown = [option.name for options in command.sections(context).values() for option in options]

        assert sorted(shown) == sorted(
            one.name for one in command.get_params(context) if one.param_type_name == "option"
        )


def test_short_helps_are_sentences_of_one_line() -> None:
    wrong = [name for name, text in COMMANDS.items() if not re.fullmatch(r"[A-Z].{10,78}\.", text)]

    assert not wrong


@pytest.mark.parametrize("name", ["", *commands()])
def test_examples_of_a_command_parse(name: str) -> None:
    lines = list(command_lines((commands()[name] if name else cli).examples))

    parsed = [parse(line) for line in lines]

    assert parsed
    assert not name or any(f"{one} ".startswith(f"{name} ") for one in parsed)


@pytest.mark.parametrize("line", shown_lines(), ids=shlex.join)
def test_command_line_of_the_documentation_parses(line: list[str]) -> None:
    assert parse(line) in commands()


def test_command_line_that_does_not_parse_is_found() -> None:
    [line] = command_lines("$ imgctl find --usr nobody  # misspelt\n")

    with pytest.raises(click.UsageError):
        parse(line)


def test_exit_codes_of_the_help_are_those_of_the_code() -> None:
    listed = {int(code) for code in re.findall(r"^ +(\d+)  ", EXIT_CODES, re.MULTILINE)}

    assert listed == set(ExitCode)


def test_the_table_of_findings_has_each_code_and_the_option_that_looks_for_it() -> None:
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs/reference/findings.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}
    options = {row for row in rows if "--" in row}

    assert listed == set(Code)
    assert {option for row in options for option in re.findall(r"`(--[a-z-]+)", row)} == {
        "--storage-class", "--look", "--stale", "--deep",
    }  # fmt: skip


def prose(page: Path) -> str:
    """Return the page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as forges and mkdocs build them."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)

    assert not dead


# `make check` checks the help texts themselves; the changelog describes earlier versions.
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in {"commands.md", "CHANGELOG.md"}],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page_speaks_the_words_of_the_glossary(page: Path) -> None:
    hits = [f"{hit.line}: {hit.word!r}: {hit.instead}" for hit in in_file(page)]

    assert not hits


def test_every_page_is_reached_from_the_readme() -> None:
    reached, left = set[Path](), [README]
    while left:
        page = left.pop().resolve()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            left += [page.parent / target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose(page))]

    assert {page.resolve() for page in PAGES} <= reached | {(ROOT / "CHANGELOG.md").resolve()}


def test_table_of_servers_is_what_the_conformance_suite_finds() -> None:
    page = (ROOT / "docs/guides/s3-servers.md").read_text(encoding="utf-8")
    names = {"SeaweedFS": "seaweed", "moto": "moto", "`rclone serve s3`": "rclone"}

    for shown, name in names.items():
        found = FOUND[name]
        kept = (found.put_if_absent, found.checksum, found.order, found.if_match, found.etag)
        row = " | ".join("yes" if one is Kept.YES else "no" for one in kept)
        assert f"| {shown} | {row} |" in page
