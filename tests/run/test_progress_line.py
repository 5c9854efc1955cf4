"""The progress line, and how it fits into the terminal."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from imgctl.run.progress import meter


def test_a_line_with_a_total_shows_per_cent_a_bar_and_the_time_left() -> None:
    line = meter(45, 100, 12, unit="images", ncols=80, rate=3.6, postfix="1 failed, 3.0 MiB")

    assert line == " 45% █████▊        45/100 images, 1 failed, 3.0 MiB, 3.6/s, 00:12, 00:15 left"


def test_a_line_without_a_total_shows_a_count_and_no_per_cent() -> None:
    assert meter(1, None, 2, unit="files", ncols=80) == "1 file, 0.50/s, 00:02"
    assert meter(1_234, None, 7_322, unit="files", ncols=80, rate=250) == "1,234 files, 250/s, 2:02:02"
    assert meter(0, 0, 0, unit="files", ncols=80) == "0 files, 00:00"


def test_a_total_below_the_count_is_dropped() -> None:
    assert meter(11, 10, 1, unit="files", ncols=80, rate=11) == "11 files, 11.0/s, 00:01"


def test_the_count_has_the_singular_and_the_plural() -> None:
    assert "1 file," in meter(1, None, 1, unit="files")
    assert "0/1 file," in meter(0, 1, 1, unit="files")
    assert "1/2 files," in meter(1, 2, 1, unit="files")


def test_a_line_of_forty_columns_keeps_the_most_important_parts() -> None:
    line = meter(45, 100, 12, unit="images", ncols=40, rate=3.6, postfix="1 failed, 3.0 MiB")

    assert line == " 45% 45/100 images, 1 failed, 3.0 MiB"


@given(
    n=st.integers(0, 10**9),
    total=st.none() | st.integers(0, 10**9),
    elapsed=st.floats(0, 10**6),
    columns=st.integers(1, 200),
    postfix=st.sampled_from([None, "1 failed", "1 failed, 3.0 MiB"]),
    plain=st.booleans(),
)
@example(n=0, total=None, elapsed=0, columns=1, postfix=None, plain=True)
def test_no_line_reaches_the_last_column(
    n: int, total: int | None, elapsed: float, columns: int, postfix: str | None, plain: bool
) -> None:
    line = meter(n, total, elapsed, unit="images", ncols=columns, postfix=postfix, ascii=plain)

    assert len(line) <= max(columns - 3, 0)
    assert ("%" in line) <= bool(total and n <= total)
    assert not re.search(r"[\r\n]", line)
    assert line.isascii() or not plain
