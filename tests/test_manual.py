"""Tests of `imgctl help`: every page of docs/ renders at a terminal, and an installation contains all of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from setuptools import Distribution

from imgctl.cli.main import cli
from imgctl.cli.manual import ALIASES, pages, rendered
from tools.docs import ROOT, commands

PAGES = [page for named in pages().values() for page in named]


def shown(*topic: str) -> str:
    result = CliRunner().invoke(
        cli, ["help", *topic], env={"COLUMNS": "80"}, prog_name="imgctl", catch_exceptions=False
    )
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_fits_a_terminal_and_loses_no_word(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    lines = list(rendered(text, columns=80))

    # A table that is too wide is shown without the name of its first column.
    prose = re.sub(
        r"<!--.*?-->|\]\([^)]*\)|^```\w*$|^ *\|[^\n]*\n *\|[-:|]+$", "", text, flags=re.MULTILINE | re.DOTALL
    )
    written = set(re.findall(r"\w+", "\n".join(lines).lower()))
    assert set(re.findall(r"\w+", prose.lower())) <= written
    # Code is not wrapped, and a word longer than a line is not broken.
    assert not [line for line in lines if len(line) > 80 and not line.startswith("    ") and " " in line.strip()]


def test_topics_are_the_pages_of_the_documentation() -> None:
    documented = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md") if page.stem != "index"}

    assert {
        page.relative_to(page.parents[1] if page.parent.name != "manual" else page.parent) for page in PAGES
    } == documented
    assert set(ALIASES.values()) <= set(pages())


def test_list_names_every_page_and_command() -> None:
    words = set(shown().split())

    assert words >= {*pages(), *(name for name in commands() if " " not in name)}


def test_command_is_shown_with_the_page_of_its_name() -> None:
    text = shown("cost")

    assert text.index("Usage: imgctl cost ") < text.index("KNOW WHAT IT COSTS")
    assert shown("cost", "model").startswith("Usage: imgctl cost model ")


def test_alias_shows_the_page() -> None:
    assert shown("config") == shown("settings")


def test_unknown_topic_is_refused_with_what_is_near() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imgctl", "help", "runbook"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean runbooks" in done.stderr


def test_distribution_has_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["pyproject.toml"])
    distribution.get_command_obj("egg_info").egg_base = str(tmp_path)
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()

    packed = {Path(folder, name) for _, folder, _, names in build.data_files for name in names}

    assert {page.relative_to(ROOT) for page in PAGES} <= packed
