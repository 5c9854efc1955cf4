"""Cells of CSV files: no formula for a spreadsheet, and what was written comes back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.common.csv_cells import guarded, unguarded

TEXTS = st.text(alphabet=st.sampled_from("'=+-@\t\r\n \uff1da1"), max_size=6) | st.text(max_size=20)


@given(text=TEXTS)
def test_every_text_comes_back_and_none_is_a_formula(text: str) -> None:
    cell = guarded(text)

    assert unguarded(cell) == text
    assert not re.match(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", cell)


@pytest.mark.parametrize("text", ["The lighthouse", "'tis", "'' = ''", " =1", "1-2", ""])
def test_a_text_that_is_no_formula_stays_as_it_is(text: str) -> None:
    assert guarded(text) == unguarded(text) == text


@pytest.mark.parametrize("value", [-1, None, 2.5, True])
def test_what_is_no_text_stays_as_it_is(value: object) -> None:
    assert guarded(value) is value
