"""Durations and sizes as people write and read them."""

import pytest

from imgctl.errors import UsageError
from imgctl.units import format_bytes, format_seconds, parse_bytes, parse_seconds


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
    with pytest.raises(UsageError, match="no duration"):
        parse_seconds(text)
    with pytest.raises(UsageError, match="no size"):
        parse_bytes(text)


def test_sizes_and_durations_print_in_units_people_use() -> None:
    assert [format_bytes(size) for size in (0, 999, 2.4 * 2**20, 300 * 2**30)] == ["0 B", "999 B", "2.4 MiB", "300 GiB"]
    assert [format_seconds(s) for s in (0.04, 61, 3600, 90061)] == ["0.0s", "1m 1s", "1h", "1d 1h"]
