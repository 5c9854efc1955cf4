"""With any damage, a repair fixes all it can, leaves the rest, and changes nothing intact."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.model import Image, Status, Variant
from imgctl.ops.audit.findings import Code
from imgctl.ops.common.open import open_parts
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.ops.repair.conftest import JPEG, Archive
from tests.soak import rounds

Damage = Callable[[Archive, Image], object]
# Findings that no repair can fix, and those that wait for a worker afterwards.
LEFT = {Code.MISSING_ORIGINAL, Code.EMPTY_BLOB, Code.SIZE_MISMATCH, Code.FAILED, Code.STUCK_PROCESSING}


def key_for(image: Image, variant: Variant) -> str:
    return image.key(variant) or ""


def swap(archive: Archive, image: Image) -> None:
    archive.parts.store.replace(key_for(image, Variant.THUMB), b"another", content_type=JPEG)
    archive.write(image, thumb_key=None)


DAMAGES: dict[str, Damage] = {
    "none": lambda archive, image: None,
    "variant deleted": lambda archive, image: archive.parts.store.delete([key_for(image, Variant.MEDIUM)]),
    "variant emptied": lambda archive, image: archive.parts.store.replace(
        key_for(image, Variant.FULL), b"", content_type=JPEG
    ),
    "variant unnamed": lambda archive, image: archive.write(image, thumb_key=None),
    "variant swapped and unnamed": swap,
    "original deleted": lambda archive, image: archive.parts.store.delete([image.original_key or ""]),
    "original emptied": lambda archive, image: archive.parts.store.replace(
        image.original_key or "", b"", content_type=JPEG
    ),
    "original truncated": lambda archive, image: archive.parts.store.replace(
        image.original_key or "", b"short", content_type=JPEG
    ),
    "failed": lambda archive, image: archive.write(image, status=Status.FAILED, error="gave up"),
    "stalled": lambda archive, image: archive.write(image, status=Status.PROCESSING, error="no answer"),
    "everything deleted": lambda archive, image: archive.parts.store.delete(
        [image.original_key or "", *(key_for(image, one) for one in Variant)]
    ),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty catalog, as a file's content."""
    file = tmp_path_factory.mktemp("template") / "catalog.db"
    catalog = open_catalog(f"sqlite:///{file}")
    upgrade(catalog)
    catalog.close()
    return file.read_bytes()


@settings(max_examples=rounds(6, 60))
@given(damages=st.lists(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=5), orphans=st.integers(0, 2))
def test_a_repair_changes_only_reparable_damage(template: bytes, damages: list[str], orphans: int) -> None:
    with TemporaryDirectory() as place, open_parts(_settings(Path(place), template)) as parts:
        archive = Archive(parts=parts)
        images = [archive.ready(number) for number in range(len(damages))]
        for image, damage in zip(images, damages, strict=True):
            DAMAGES[damage](archive, image)
        for number in range(orphans):
            archive.orphan(10 + number)
        rows, blobs = {row.id: row for row in archive.rows()}, archive.blobs()

        archive.repair(delete_orphans=True)
        left = archive.audit()
        again = archive.repair(delete_orphans=True)

        assert {one.code for one in left} <= LEFT
        assert {one.code for one in left if _status(archive, one.id) is Status.READY} <= {Code.SIZE_MISMATCH}
        # Intact rows are unchanged, and so are all blobs except the orphans, which are in the trash.
        after = {row.id: row for row in archive.rows()}
        assert {one: after[one] for one in _whole(images, damages)} == {
            one: rows[one] for one in _whole(images, damages)
        }
        assert sorted(archive.blobs().values()) == sorted(blobs.values())
        assert {one.fate.value for one in again} <= {"left", "well"}
        assert {row.id: row for row in archive.rows()} == after


def _settings(place: Path, template: bytes) -> Settings:
    (place / "catalog.db").write_bytes(template)
    (place / "blobs").mkdir()
    catalog = CatalogSettings(url=f"sqlite:///{place}/catalog.db")
    return Settings(catalog=catalog, store=StoreSettings(url=f"file://{place}/blobs"))


def _whole(images: list[Image], damages: list[str]) -> list[UUID]:
    return [image.id for image, damage in zip(images, damages, strict=True) if damage == "none"]


def _status(archive: Archive, image_id: object) -> Status | None:
    return next((row.status for row in archive.rows() if row.id == image_id), None)
