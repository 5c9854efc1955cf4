"""Tests of parsing and printing durations, sizes and counts."""

import ast
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import imgctl
from imgctl.errors import UsageError
from imgctl.units import count_of, counts_of, format_bytes, format_seconds, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7776000), ("15m", 900), ("1.5h", 5400), ("30", 30), ("250ms", 0.25), (" 2w ", 1209600)],
)
def test_durations_read_as_written(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("1MiB", 1048576), ("1MB", 1000000), ("512mib", 536870912), ("0", 0), ("1.5 GiB", 1610612736)]
)
def test_sizes_read_as_written(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "soon", "-1d", "5 parsecs", "1e3"])
def test_what_is_no_duration_or_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        parse_seconds(text)
    with pytest.raises(UsageError, match="not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("parse", "text"), [(parse_seconds, "365001d"), (parse_bytes, "8388608TiB"), (parse_bytes, "9" * 400)]
)
def test_what_is_beyond_any_calendar_or_store_is_refused(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse(text)


def test_sizes_and_durations_print_in_units_people_use() -> None:
    assert [format_bytes(size) for size in (0, 999, 2.4 * 2**20, 300 * 2**30)] == ["0 B", "999 B", "2.4 MiB", "300 GiB"]
    assert [format_seconds(s) for s in (0.04, 61, 3600, 90061)] == ["0.0s", "1m 1s", "1h", "1d 1h"]


def test_counts_read_right_for_none_one_and_many() -> None:
    assert [count_of(count, "finding") for count in (0, 1, 1234)] == ["0 findings", "1 finding", "1,234 findings"]
    assert [count_of(n, "image waits", "images wait") for n in (1, 2)] == ["1 image waits", "2 images wait"]
    assert counts_of({"moved": 3, "failed": 0, "not_tried": 1000}) == "3 moved, 1,000 not tried"
    assert counts_of({"planned": 2}, named={"planned": "would move"}) == "2 would move"
    assert counts_of({"moved": 0}, none="nothing to do") == "nothing to do"


# Nouns that are counted somewhere; after any other value the noun is an ordinary word.
NOUNS = r"(actions|blobs|bytes|days|files|findings|images|months|objects|orphans|originals|photos|prices|rows|times)"


def test_no_count_is_printed_but_by_the_helper() -> None:
    wrong = []
    for file in sorted(Path(imgctl.__file__).parent.rglob("*.py")):
        for text in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.JoinedStr)):
            wrong += [f"{file}:{text.lineno}: {ast.unparse(text)}" for one in pairwise(text.values) if _is_count(*one)]

    # The helper itself, and titles in which a name precedes the noun: `STANDARD originals`.
    wrong = [one for one in wrong if not any(file in one for file in ("/units.py:", "/pricing/", "/cost/actual.py:"))]
    assert not wrong, "\n".join(wrong)


def _is_count(value: ast.expr, after: ast.expr) -> bool:
    """Whether an f-string's value is a count that a word follows."""
    if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
        return False
    spec = ast.unparse(value.format_spec).lstrip("f").strip("'\"") if value.format_spec else ""
    number = spec in {",", "d", ",d"} or (isinstance(value.value, ast.Call) and ast.unparse(value.value.func) == "len")
    nouns = " [a-z]" if number else rf" {NOUNS}\b"
    return not spec.endswith("f") and re.match(nouns, str(after.value)) is not None
