"""Tests that imgctl never takes the truth value of another library's object."""

import pytest

from tests.truth import in_imgctl, violations


def test_imgctl_takes_no_truth_value_of_a_foreign_object() -> None:
    assert list(in_imgctl()) == []


# As run/progress.py was when every command with a bar crashed at a terminal.
PROGRESS = """
from typing import Protocol

class _Bar(Protocol):
    def update(self, n: float) -> object: ...

class Progress:
    def __init__(self) -> None:
        self._bar: _Bar | None = None

    def advance(self, items: int = 1) -> None:
        if self._bar:
            self._bar.update(items)
"""


def test_the_bar_without_a_total_would_have_been_found() -> None:
    assert list(violations(PROGRESS)) == [(12, "self._bar: _Bar | None")]
    assert list(violations(PROGRESS.replace("if self._bar:", "if self._bar is not None:"))) == []


@pytest.mark.parametrize(
    "test",
    ["if one: ...", "while not one: ...", "assert one", "x = 1 if one else 2", "x = one or 2", "x = bool(one)",
     "x = [y for y in z if one]", "x = one and 2"],
)  # fmt: skip
@pytest.mark.parametrize("header", ["from tqdm import tqdm as Bar", "import tqdm; Bar = tqdm.tqdm"])
def test_every_way_to_ask_is_found(header: str, test: str) -> None:
    source = f"{header}\ndef f(one: 'Bar | None') -> None:\n    {test}"

    assert [line for line, _ in violations(source)] == [3]


@pytest.mark.parametrize("kind", ["Path | None", "str", "int | None", "list[str]", "dict[str, int] | None"])
def test_what_python_brings_may_be_asked(kind: str) -> None:
    assert not list(violations(f"from pathlib import Path\ndef f(one: {kind}) -> None:\n    if one: ..."))
