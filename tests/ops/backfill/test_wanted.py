"""Variants that may be deleted when a row names others."""

from hypothesis import given
from hypothesis import strategies as st

from imgctl.keys import ROLES, key_of, new_id, parse_key, time_of
from imgctl.model import Image, Status, Variant
from imgctl.ops.backfill.wanted import leftovers, superseded
from tests.store.catalog.rows import NOON, USER

MINE, OTHER = new_id(NOON), new_id(NOON)
_KEYS = st.one_of(
    st.none(),
    st.builds(
        key_of,
        st.sampled_from([MINE, OTHER]),
        st.sampled_from(ROLES),
        st.sampled_from(["jpg", "webp"]),
        prefix=st.sampled_from(["", "variants/"]),
    ),
    st.sampled_from(["elsewhere/a.jpg", "", "a/b/c/d"]),
)


def _image(thumb: str | None, medium: str | None, full: str | None) -> Image:
    return Image(
        id=MINE,
        user_id=USER,
        uploaded_at=time_of(MINE),
        promised_at=time_of(MINE),
        status=Status.READY,
        original_key=key_of(MINE, "original", "jpg"),
        thumb_key=thumb,
        medium_key=medium,
        full_key=full,
    )


@given(_KEYS, _KEYS, _KEYS, st.lists(_KEYS.filter(bool), max_size=3))
def test_only_variants_of_the_image_are_superseded(
    thumb: str | None, medium: str | None, full: str | None, kept: list[str]
) -> None:
    image = _image(thumb, medium, full)

    for key in superseded(image, kept):
        parsed = parse_key(key.removeprefix("variants/"))
        assert (parsed.id, parsed.role in set(Variant)) == (MINE, True)
        assert key not in kept


def test_a_variant_is_superseded_by_one_of_another_format() -> None:
    image = _image(key_of(MINE, "thumb", "jpg"), None, key_of(MINE, "full", "jpg"))

    assert superseded(image, [key_of(MINE, "thumb", "webp"), image.full_key or ""]) == [image.thumb_key]


def test_leftovers_are_all_variants_that_no_row_names() -> None:
    named = {key_of(MINE, "thumb", "jpg", prefix="variants/")}
    found = leftovers(MINE, named=named, prefix="variants/")

    assert len(found) == 8
    assert named.isdisjoint(found)
    assert {parse_key(key, prefix="variants/").role for key in found} == set(Variant)
