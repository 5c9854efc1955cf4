"""What may be deleted once a row names something else, and how runs that rebuild remember how far they came."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.keys import ROLES, key_of, new_id, parse_key, time_of
from imgctl.model import Image, Status, Variant
from imgctl.ops.backfill.checkpoint import Reached, checkpoint
from imgctl.ops.backfill.order import BackfillOrder, Mode, Selection
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
def test_only_this_images_variants_are_superseded(
    thumb: str | None, medium: str | None, full: str | None, kept: list[str]
) -> None:
    image = _image(thumb, medium, full)

    for key in superseded(image, kept):
        parsed = parse_key(key.removeprefix("variants/"))
        assert (parsed.id, parsed.role in set(Variant)) == (MINE, True)
        assert key not in kept


def test_what_was_named_is_superseded_by_another_format() -> None:
    image = _image(key_of(MINE, "thumb", "jpg"), None, key_of(MINE, "full", "jpg"))

    assert superseded(image, [key_of(MINE, "thumb", "webp"), image.full_key or ""]) == [image.thumb_key]


def test_leftovers_are_every_variant_that_is_not_named() -> None:
    named = {key_of(MINE, "thumb", "jpg", prefix="variants/")}
    found = leftovers(MINE, named=named, prefix="variants/")

    assert len(found) == 8
    assert named.isdisjoint(found)
    assert {parse_key(key, prefix="variants/").role for key in found} == set(Variant)


def test_a_checkpoint_is_of_one_kind_of_run(tmp_path: Path) -> None:
    order = BackfillOrder(selection=Selection(mode=Mode.FORCE, recipe="0badcafe"))
    other = replace(order, selection=replace(order.selection, variants=(Variant.THUMB,)))
    reached = Reached(after=MINE, failed=2, cold=1)
    checkpoint(order, places=["a"], directory=tmp_path).save(reached, now=True)

    again = checkpoint(replace(order, after=OTHER), places=["a"], directory=tmp_path)
    assert again.load() == reached
    assert checkpoint(other, places=["a"], directory=tmp_path).load() == Reached()
    assert checkpoint(order, places=["b"], directory=tmp_path).load() == Reached()
    again.remove()
    assert again.load() == Reached(after=UUID(int=0))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"after": "x", "failed": 0, "cold": 0}', "\x00"])
def test_a_damaged_checkpoint_is_none(tmp_path: Path, text: str) -> None:
    order = BackfillOrder(selection=Selection(mode=Mode.FORCE, recipe="0badcafe"))
    found = checkpoint(order, places=[], directory=tmp_path)
    found.save(Reached(after=MINE), now=True)
    [file] = tmp_path.iterdir()
    file.write_text(text)

    assert found.load() == Reached()
