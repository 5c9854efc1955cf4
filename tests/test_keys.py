"""Tests of keys and ids: they round-trip, sort in one order, and foreign keys are not parsed as imgctl's."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.dates import EPOCH
from imgctl.errors import KeyShapeError
from imgctl.keys import ROLES, first_id, key_of, new_id, parse_key, time_of

moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001  # hypothesis wants it bare
    max_value=datetime(9999, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)
prefixes = st.sampled_from(["", "originals/", "a/b/"])
extensions = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(moments, st.sampled_from(ROLES), extensions, prefixes)
def test_a_key_taken_apart_gives_back_what_made_it(at: datetime, role: str, extension: str, prefix: str) -> None:
    image_id = new_id(at)
    key = parse_key(key_of(image_id, role, extension, prefix=prefix), prefix=prefix)

    assert (key.id, key.role, key.extension) == (image_id, role, extension)


@given(moments)
def test_an_id_holds_its_time_to_the_millisecond(at: datetime) -> None:
    image_id = new_id(at)

    assert timedelta(0) <= at - time_of(image_id) < timedelta(milliseconds=1)
    assert (image_id.version, image_id.variant) == (7, "specified in RFC 4122")


@given(st.lists(moments, min_size=2, max_size=20))
def test_order_by_id_by_time_and_by_key_is_one_order(times: list[datetime]) -> None:
    ids = [new_id(at) for at in times]

    by_id = sorted(ids)

    assert sorted(ids, key=lambda one: key_of(one, "original", "jpg").encode()) == by_id
    assert [time_of(one) for one in by_id] == sorted(time_of(one) for one in ids)


@given(moments)
def test_a_range_that_starts_at_a_time_holds_every_id_of_it(at: datetime) -> None:
    assert first_id(at) <= new_id(at)
    assert at < EPOCH + timedelta(milliseconds=1) or new_id(at - timedelta(milliseconds=1)) < first_id(at)


GOOD = "2026/11/22/019aaa00-0000-7000-8000-000000000000-thumb.jpg"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "thumb.jpg",
        GOOD.upper(),
        GOOD + "\n",
        "x" + GOOD,
        GOOD.replace("thumb", "huge"),
        GOOD.replace("-7000-", "-4000-"),
        GOOD.replace("2026/11/22", "2026/11/23"),
        GOOD.replace("019aaa00-0000", "ffffffff-ffff"),
        GOOD.replace(".jpg", ""),
        GOOD.replace(".jpg", ".JPG"),
        "/" + GOOD,
    ],
)
def test_a_key_that_imgctl_did_not_make_is_refused(key: str) -> None:
    with pytest.raises(KeyShapeError):
        parse_key(key)


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        key = parse_key(text)
    except KeyShapeError:
        return
    assert key_of(key.id, key.role, key.extension) == text


def test_a_time_before_1970_has_no_id() -> None:
    with pytest.raises(KeyShapeError, match="1969"):
        new_id(datetime(1969, 12, 31, tzinfo=UTC))
