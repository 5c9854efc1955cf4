"""Tests of the man pages: one for each command, with all its options, in roff without warnings of groff."""

import shutil
import subprocess

import click
import pytest

from tools.docs import commands
from tools.man import page


@pytest.mark.parametrize("name", commands())
def test_page_has_every_option_and_example(name: str) -> None:
    command = commands()[name]
    text = page(name, command).replace("\\-", "-").replace("\\e", "\\")

    context = click.Context(command)
    records = [one.get_help_record(context) for one in command.get_params(context) if isinstance(one, click.Option)]
    assert [record[0] for record in records if record and f"\n.B {record[0]}\n" not in text] == []
    assert command.examples.strip() in text


def test_groff_renders_every_page_without_warnings() -> None:
    if not shutil.which("groff"):
        pytest.skip("there is no groff")
    pages = "".join(page(name, command) for name, command in commands().items())

    done = subprocess.run(
        ["groff", "-k", "-man", "-ww", "-Tutf8", "-P-cbou"], input=pages, capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert all(heading in done.stdout for heading in ("NAME", "EXAMPLES", "MORE OPTIONS", "EXIT STATUS"))
