"""How many processes an upload uses."""

from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings, UploadSettings
from imgctl.ops.ingest.outcome import Fate
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.upload.start import uploading
from imgctl.store.blobs.open import open_store
from tests.whole.conftest import photo

FILES = 3


@pytest.mark.parametrize(("processes", "expected"), [(1, 0), (2, 1)])
def test_the_catalog_has_a_process_of_its_own_if_asked_for(tmp_path: Path, processes: int, expected: int) -> None:
    (photos := tmp_path / "photos").mkdir()
    for number in range(FILES):
        (photos / f"{number}.jpg").write_bytes(photo(number))
    settings = Settings(
        catalog=CatalogSettings(url=f"sqlite:///{tmp_path / 'catalog.db'}"),
        store=StoreSettings(url=f"file://{tmp_path / 'store'}"),
        upload=UploadSettings(processes=processes),
    )
    before = children()

    with uploading(
        settings,
        Selection(paths=(str(photos),), user_id=UUID(int=1)),
        UploadOrder(),
        store=open_store(settings.store),
        journal=None,
        stop=Event(),
        report=pytest.fail,
    ) as outcomes:
        more = children() - before
        fates = [one.fate for one in outcomes]

    assert len(more) == expected
    assert fates == [Fate.UPLOADED] * FILES
    assert not children() & more


def children() -> set[str]:
    """The ids of this process's children that run."""
    found = {one for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()}
    return {one for one in found if Path("/proc", one).exists()}
