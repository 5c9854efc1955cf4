"""`imgctl audit --look N`: it reports variants of another picture, no good ones, and no sample is skipped silently."""

from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from random import Random
from shutil import copytree
from threading import Event

import pytest
from PIL import Image, ImageOps

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.model import Variant
from imgctl.ops.audit.options import AuditOrder
from imgctl.ops.audit.report import look_price
from imgctl.ops.audit.sample import sampled
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.rows import Chosen
from imgctl.ops.common.spend import terms_of
from imgctl.store.catalog.queries.lookups import Scope
from tests.imaging.pictures import quadrants
from tests.whole.cold import archive_all
from tests.whole.conftest import embedded_in
from tests.whole.deployment import USER, Deployment

PHOTOS = 5
LOOK = ("audit", "--look", "50", "--grace", "0s", "--json")


@pytest.fixture
def filled(embedded: Deployment, five: Path) -> Deployment:
    """Five different ready photos."""
    copytree(five, embedded.directory, dirs_exist_ok=True)
    return embedded


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a deployment with them, to be copied."""
    tmp_path = tmp_path_factory.mktemp("five")
    embedded = embedded_in(tmp_path / "run")
    place = tmp_path / "photos"
    place.mkdir()
    plain = quadrants(300, 200)
    turned = plain.rotate(180)
    for number, picture in enumerate(
        (plain, turned, ImageOps.mirror(plain), ImageOps.invert(plain), ImageOps.invert(turned))
    ):
        picture.save(place / f"{number}.jpg", quality=92)
    assert embedded.run("upload", place, "--user", str(USER)).code == 0
    assert embedded.run("work", "--drain").code == 0
    return embedded.directory


def test_good_variants_are_no_finding(filled: Deployment) -> None:
    result = filled.run(*LOOK)

    assert (result.code, result.summary["looked"], result.summary["findings"]) == (0, PHOTOS, 0), result.err
    assert filled.run("audit", "--look", "2", "--json").summary["looked"] == 2


@pytest.mark.parametrize("how", ["swapped", "blank", "upside_down", "no_picture"])
@pytest.mark.parametrize("variant", list(Variant))
def test_a_variant_of_another_picture_is_found(filled: Deployment, how: str, variant: Variant) -> None:
    store, images = filled.open_store(), filled.images()
    key, other = str(images[1].key(variant)), str(images[4].key(variant))
    picture = Image.open(BytesIO(store.get(key)))
    bodies = {
        "swapped": store.get(other),
        "blank": _jpeg(Image.new("RGB", picture.size, "white")),
        "upside_down": _jpeg(ImageOps.flip(picture)),
        "no_picture": b"text",
    }
    store.replace(key, bodies[how], content_type="image/jpeg")

    result = filled.run(*LOOK)

    assert result.summary["looked"] == PHOTOS, result.err
    assert [(one["code"], one["key"], one["role"]) for one in result.of("finding")] == [
        ("variant_differs", key, variant)
    ]
    assert result.code == 4


def test_archived_originals_are_left_out_and_counted(filled: Deployment) -> None:
    archive_all(filled)
    filled.run("restore", "--status", "--since", "2000-01-01")

    result = filled.run(*LOOK)

    assert (result.code, result.summary["looked"], result.summary["look_archived"]) == (0, 0, PHOTOS)
    assert f"originals archived: {PHOTOS}" in filled.run("audit", "--look", "50").out


def test_a_missing_original_is_another_finding(filled: Deployment) -> None:
    filled.open_store().delete([str(filled.images()[0].original_key)])

    result = filled.run(*LOOK)

    assert result.summary["codes"] == {"missing_original": 1}
    assert (result.summary["looked"], result.summary["look_failed"]) == (PHOTOS - 1, 1)


@pytest.mark.parametrize(
    ("endpoint", "says"), [("", "reads up to 40 blobs: "), ("http://127.0.0.1:9", "price unknown for this endpoint")]
)
def test_the_price_of_reading_is_known_beforehand(endpoint: str, says: str) -> None:
    settings = Settings(store=StoreSettings(url="s3://photos"))

    assert says in look_price(10, terms_of(settings, endpoint_url=endpoint))
    assert look_price(10, terms_of(Settings(store=StoreSettings(url="file:///photos")), endpoint_url="")) == ""


@pytest.mark.parametrize("scope", [Scope(), Scope(user_id=USER)], ids=["whole", "of_a_user"])
def test_every_image_is_sampled_equally_often(filled: Deployment, scope: Scope) -> None:
    settings = Settings(catalog=CatalogSettings(url=filled.catalog_url), store=filled.store)
    order, draw, seen = AuditOrder(look=2, chosen=Chosen(scope=scope)), Random(3), Counter[object]()
    with open_parts(settings) as parts:
        for _ in range(500):
            few = sampled(parts, order, stop=Event(), draw=draw)
            assert len({image.id for image in few}) == 2
            seen.update(image.id for image in few)
        everything = sampled(parts, replace(order, look=100), stop=Event(), draw=draw)

    # 200 expected of each, with a deviation of 11.
    assert all(150 < seen[image.id] < 250 for image in filled.images())
    assert len(everything) == PHOTOS


def _jpeg(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()
