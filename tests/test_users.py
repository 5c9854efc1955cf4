"""Tests of user names: they map to the same UUIDs for ever and everywhere."""

import unicodedata
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.errors import UsageError
from imgctl.ops.ingest.manifest import owner_and_date
from imgctl.ops.upload.globs import owner_by
from imgctl.users import UUIDS_ONLY, Users
from tests.soak import rounds

NAMESPACE = UUID("6d1f6b9c-5a3b-4c7e-9a54-0d2f3b7a1c55")
NAMED = Users(str(NAMESPACE))
NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=40)


@settings(max_examples=rounds(50, 2000), deadline=None)
@given(name=NAMES | st.integers().map(str) | st.emails(), left=st.sampled_from(["", " ", "\t"]))
def test_a_name_is_the_uuid5_of_its_nfc_wherever_it_is_written(name: str, left: str) -> None:
    wanted = uuid5(NAMESPACE, unicodedata.normalize("NFC", name))

    assert NAMED.id_of(left + name) == wanted
    assert NAMED.id_of(unicodedata.normalize("NFD", name)) == wanted
    assert owner_and_date({"user_id": left + name}, NAMED) == (wanted, None)
    if "/" not in name:
        assert owner_by("by-owner/{user}/**", NAMED)(f"by-owner/{name}/2019/1.jpg") == wanted


@settings(max_examples=rounds(50, 2000), deadline=None)
@given(one=NAMES, other=NAMES)
def test_names_share_a_user_only_where_they_are_the_same_text(one: str, other: str) -> None:
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)

    assert (NAMED.id_of(one) == NAMED.id_of(other)) is same


@settings(max_examples=rounds(50, 2000), deadline=None)
@given(user=st.uuids(), form=st.sampled_from(["{}", "{{{}}}", "urn:uuid:{}", " {} "]))
def test_a_uuid_is_itself_with_and_without_names(user: UUID, form: str) -> None:
    for text in (str(user), user.hex, str(user).upper()):
        assert NAMED.id_of(form.format(text)) == UUIDS_ONLY.id_of(form.format(text)) == user


def test_the_mapping_is_the_one_the_documentation_states() -> None:
    assert str(NAMED.id_of("4711")) == "ef9c12b5-3250-5cee-aeb8-5ba75c5b62a6"


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "a\nb", "\ud800", "soft\xadhyphen", "a" * 10_000])
def test_text_that_cannot_be_a_user_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid user") as caught:
        NAMED.id_of(text)
    assert len(caught.value.line) < 2000


def test_without_a_namespace_a_name_is_refused_and_the_setting_named() -> None:
    with pytest.raises(UsageError, match="invalid UUID: 'alice'") as refused:
        UUIDS_ONLY.id_of("alice")
    assert "[users] namespace" in refused.value.hint
    assert owner_by("{user}/**")("alice/1.jpg") is None


def test_a_mapping_is_shown_once() -> None:
    reported: list[str] = []
    users = Users(str(NAMESPACE), report=reported.append)

    for name in (str(NAMESPACE), "alice", "bob"):
        users.id_of(name)

    assert reported == [f"user alice is {uuid5(NAMESPACE, 'alice')} ([users] namespace)"]


@pytest.mark.parametrize(
    ("pattern", "path", "name"),
    [
        ("{user}/**", "alice/a/1.jpg", "alice"),
        ("user-{user}/**", "user-7/1.jpg", "7"),
        ("{user}-*", "7-8-9.jpg", "7"),
        ("*/{user}.*", "x/7.8.jpg", "7"),
    ],
)
def test_a_name_in_a_path_is_the_shortest_part_that_fits(pattern: str, path: str, name: str) -> None:
    assert owner_by(pattern, NAMED)(path) == uuid5(NAMESPACE, name)


def test_bytes_that_are_no_text_are_no_owner() -> None:
    assert owner_by("{user}/**", NAMED)("ab\udcff/1.jpg") is None
