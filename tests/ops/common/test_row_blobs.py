"""Rows with their blobs: a listing finds the same blobs as a request for each."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.keys import key_of, new_id
from imgctl.model import Image, Status, Variant
from imgctl.ops.common import row_blobs
from imgctl.ops.common.row_blobs import BlobLooker
from imgctl.store.blobs.open import open_store
from tests.soak import rounds
from tests.store.catalog.rows import USER

BEGINNING = datetime(2024, 2, 28, tzinfo=UTC)
IDS = [new_id(BEGINNING + timedelta(hours=7 * number)) for number in range(12)]


@contextmanager
def looker(place: StoreSettings, *, few: int = 0, pays: int = 2) -> Iterator[BlobLooker]:
    """A looker that lists if there are more than `few` keys, up to `pays` blobs for each."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(row_blobs, "FEW", few)
        patch.setattr(row_blobs, "LISTED_FOR_A_HEAD", pays)
        yield BlobLooker(open_store(place), place, pool=pool, stop=Event())


def image(image_id: UUID, store: StoreSettings, extension: str = "jpg") -> Image:
    prefix = store.variants_prefix
    return Image(
        id=image_id,
        user_id=USER,
        uploaded_at=BEGINNING,
        promised_at=BEGINNING,
        status=Status.READY,
        original_key=key_of(image_id, "original", extension, prefix=store.originals_prefix),
        thumb_key=key_of(image_id, Variant.THUMB, "jpg", prefix=prefix),
        medium_key=key_of(image_id, Variant.MEDIUM, "jpg", prefix=prefix),
        full_key=None,
    )


@settings(max_examples=rounds(20, 200))
@given(
    st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(["original", "thumb", "medium", "full"])), unique=True),
    st.sets(st.sampled_from(IDS)),
    st.sampled_from([("", ""), ("originals/", "variants/"), ("", "variants/"), ("2024/", "")]),
)
def test_a_listing_finds_what_single_requests_find(
    tmp_path_factory: pytest.TempPathFactory, held: list[tuple[UUID, str]], asked: set[UUID], prefixes: tuple[str, str]
) -> None:
    place = StoreSettings(
        url=f"file://{tmp_path_factory.mktemp('row_blobs')}/blobs",
        originals_prefix=prefixes[0],
        variants_prefix=prefixes[1],
    )
    blobs = open_store(place)
    for image_id, role in held:
        prefix = prefixes[0] if role == "original" else prefixes[1]
        blobs.create(key_of(image_id, role, "jpg", prefix=prefix), b"blob", content_type="image/jpeg")
    blobs.create("2024/02/28/readme.txt", b"foreign", content_type="text/plain")
    rows = [image(one, place) for one in sorted(asked)]

    with looker(place) as listing:
        listed = listing.look(rows)
    with looker(place, few=1000) as asking:
        single = asking.look(rows)

    assert [one.image.id for one in listed] == sorted(asked)
    assert [dict(one.blobs) for one in listed] == [dict(one.blobs) for one in single]


def test_only_keys_that_a_listing_lacks_get_a_request(tmp_path: Path) -> None:
    place = StoreSettings(url=f"file://{tmp_path}/blobs")
    blobs, rows = open_store(place), [image(one, place) for one in IDS[:3]]
    for key in [key for row in rows for key in row_blobs.keys_of(row)][:-1]:
        blobs.create(key, b"blob", content_type="image/jpeg")
    # A row from before originals had a prefix of their own.
    now = StoreSettings(url=place.url, originals_prefix="originals/")

    with looker(place) as whole:
        found = whole.look(rows)
    with looker(now) as moved:
        again = moved.look(rows)

    assert (whole.heads, whole.list_requests) == (1, 1)
    assert [dict(one.blobs) for one in found] == [dict(one.blobs) for one in again]
    assert [len(one.blobs) for one in found] == [3, 3, 2]
