"""After any damage to the source, the store or the rows, a verification reports exactly the unsafe files."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings, UploadSettings
from imgctl.ops.ingest.outcome import Fate
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.upload.start import uploading
from imgctl.ops.verify.check import Against
from imgctl.ops.verify.start import VerifyOrder, verifying
from imgctl.store.blobs.open import open_store
from tests.imaging.pictures import encoded, quadrants
from tests.soak import rounds

USER = UUID(int=7)
PHOTOS = 7
SAFE = "safe"
SOURCE = ("remove", "truncate", "swap", "new")
STORE = ("remove", "truncate", "swap", "flip")
ROWS = ("remove", "unconfirm")
KINDS = [(where, how) for where, some in (("source", SOURCE), ("store", STORE), ("rows", ROWS)) for how in some]
Damage = tuple[tuple[str, str], int, int]
DAMAGE = st.tuples(st.sampled_from(KINDS), st.integers(0, PHOTOS - 1), st.integers(0, PHOTOS - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A source, and the catalog and store it was uploaded to."""

    directory: Path

    @property
    def source(self) -> Path:
        return self.directory / "source"

    @property
    def settings(self) -> Settings:
        return Settings(
            catalog=CatalogSettings(url=f"sqlite:///{self.directory}/catalog.db"),
            store=StoreSettings(url=f"file://{self.directory}/blobs"),
            upload=UploadSettings(journal="none"),
        )

    @property
    def selection(self) -> Selection:
        return Selection(paths=(str(self.source),), user_id=USER)

    def files(self) -> list[Path]:
        return sorted(path for path in self.source.rglob("*.jpg"))

    def blobs(self) -> list[Path]:
        return sorted(path for path in (self.directory / "blobs").rglob("*-original.jpg"))

    def rows(self) -> dict[bytes, tuple[str, str]]:
        """Status and key of each content."""
        with closing(sqlite3.connect(self.directory / "catalog.db")) as catalog:
            return {
                sha: (status, key)
                for sha, status, key in catalog.execute("SELECT sha256, status, original_key FROM images")
            }

    def change(self, statement: str, key: str) -> None:
        with closing(sqlite3.connect(self.directory / "catalog.db")) as catalog, catalog:
            catalog.execute(statement, (key,))


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(directory=tmp_path_factory.mktemp("uploaded"))
    for number in range(PHOTOS):
        file = place.source / f"{number % 2}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        # Several are of one size: only their content tells them apart.
        file.write_bytes(encoded(quadrants(32, 24), "JPEG") + bytes([number]) * (1 + number // 4))
    shutil.copy(place.source / "0/0.jpg", place.source / "1/copy.jpg")
    (place.source / "notes.txt").write_text("no picture")
    store = open_store(place.settings.store)
    with uploading(
        place.settings, place.selection, UploadOrder(), store=store, journal=None, stop=Event(), report=print
    ) as outcomes:
        assert {outcome.fate for outcome in outcomes} == {Fate.UPLOADED, Fate.PRESENT, Fate.SKIPPED}
    return place


def damage(place: Place, where: str, how: str, one: int, other: int) -> None:
    if where == "rows":
        key = sorted(place.rows().values())[one % max(1, len(place.rows()))][1] if place.rows() else ""
        statements = {"remove": "DELETE FROM images WHERE original_key = ?"}
        place.change(statements.get(how, "UPDATE images SET status = 'uploading' WHERE original_key = ?"), key)
        return
    found = place.files() if where == "source" else place.blobs()
    if not found:
        return
    file, another = found[one % len(found)], found[other % len(found)]
    data = file.read_bytes()
    file.chmod(0o644)
    another.chmod(0o644)
    if how == "remove":
        file.unlink()
    elif how == "truncate":
        file.write_bytes(data[: len(data) - 1 - other])
    elif how == "swap":
        file.write_bytes(another.read_bytes())
        another.write_bytes(data)
    elif how == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 255]))
    else:
        file.write_bytes(encoded(quadrants(40 + one, 30 + other), "JPEG"))


def expected(place: Place, against: Against) -> Iterator[tuple[str, str]]:
    """Each file's expected fate, from reading every file, row and blob."""
    rows = place.rows()
    for file in place.files():
        data = file.read_bytes()
        status, key = rows.get(hashlib.sha256(data).digest(), ("", ""))
        blob = place.directory / "blobs" / key
        there = blob.read_bytes() if key and blob.exists() else None
        fate = SAFE
        if not status:
            fate = "missing"
        elif status == "uploading":
            fate = "not_confirmed"
        elif against is Against.CATALOG:
            pass
        elif there is None:
            fate = "original_missing"
        elif there != data:
            fate = "content_differs" if len(there) == len(data) else "size_differs"
        yield str(file), fate


Test = Callable[[Place, list[Damage], Against], None]


def with_each_kind(test: Test) -> Test:
    """Each kind of damage by itself, then random combinations."""
    for kind in KINDS:
        test = example(damages=[(kind, 1, 2)], against=Against.STORE)(test)
    return test


@with_each_kind
@settings(max_examples=rounds(20, 500), deadline=None)
@given(damages=st.lists(DAMAGE, max_size=5), against=st.sampled_from(Against))
def test_exactly_the_unsafe_files_are_reported(uploaded: Place, damages: list[Damage], against: Against) -> None:
    with TemporaryDirectory() as directory:
        place = Place(directory=Path(directory) / "copy")
        shutil.copytree(uploaded.directory, place.directory)
        for (where, how), one, other in damages:
            damage(place, where, how, one, other)

        order = VerifyOrder(against=against)
        with verifying(place.settings, place.selection, order, stop=Event(), report=print) as found:
            fates = {
                one.path: SAFE if one.fate is Fate.PRESENT else one.reason.value
                for one in found.outcomes
                if one.fate is not Fate.SKIPPED
            }

        assert fates == dict(expected(place, against))


def test_nothing_is_begun_once_it_is_stopped(uploaded: Place) -> None:
    stop = Event()
    stop.set()

    with verifying(uploaded.settings, uploaded.selection, VerifyOrder(), stop=stop, report=print) as found:
        assert list(found.outcomes) == []
