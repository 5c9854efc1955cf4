"""Deployments to run imgctl against, and a few small photos."""

import os
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from imgctl.config.catalog_store import StoreSettings
from tests.parts.postgres import sqlite_catalog
from tests.parts.seaweed import S3Server
from tests.whole.deployment import Deployment


@pytest.fixture
def embedded(tmp_path: Path) -> Deployment:
    """SQLite with the catalog's tables and a directory: imgctl's defaults."""
    found = embedded_in(tmp_path / "run")
    sqlite_catalog(found.directory)
    return found


@pytest.fixture
def new_embedded(tmp_path: Path) -> Deployment:
    """The same without tables, as before the first command."""
    return embedded_in(tmp_path / "run")


def embedded_in(place: Path) -> Deployment:
    """The same in this new directory, which may be copied to that of another deployment."""
    place.mkdir()
    store = StoreSettings(url=f"file://{place}/blobs")
    return Deployment(directory=place, catalog_url=f"sqlite:///{place}/catalog.db", store=store)


@pytest.fixture
def servers(tmp_path: Path, postgres_url: str, seaweed: S3Server) -> Deployment:
    """Postgres with the catalog's tables, and SeaweedFS."""
    return _on_servers(tmp_path, postgres_url, seaweed)


@pytest.fixture
def new_servers(tmp_path: Path, empty_postgres_url: str, seaweed: S3Server) -> Deployment:
    """Postgres without tables, as before the first command, and SeaweedFS."""
    return _on_servers(tmp_path, empty_postgres_url, seaweed)


def _on_servers(tmp_path: Path, catalog_url: str, seaweed: S3Server) -> Deployment:
    place = tmp_path / "run"
    place.mkdir()
    return Deployment(directory=place, catalog_url=catalog_url, store=seaweed.settings(seaweed.new_bucket()))


@pytest.fixture(params=["embedded", "servers"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Each of the two kinds."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Deployment)
    return found


@pytest.fixture(params=["new_embedded", "new_servers"])
def new_deployment(request: pytest.FixtureRequest) -> Deployment:
    """Each of the two kinds, without tables."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Deployment)
    return found


@cache
def photo(number: int) -> bytes:
    """Return a small JPEG, a different one for each number."""
    picture = Image.effect_noise((96, 64), 40).convert("RGB")
    picture.paste((number * 40 % 256, number * 90 % 256, number * 150 % 256), (8, 8, 48, 48))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=85, comment=f"photo {number}")
    return buffer.getvalue()


@pytest.fixture
def album(tmp_path: Path) -> dict[Path, bytes]:
    """Write twenty photos in three directories, two of them twice; return each path with its content."""
    place = tmp_path / "album"
    files = {place / f"{number % 3}" / f"{number}.jpg": photo(number) for number in range(20)}
    files |= {place / "again" / f"{number}.jpg": photo(number) for number in range(2)}
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # The journal does not record files that were just changed.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return files


def place_of(album: dict[Path, bytes]) -> Path:
    """Return the directory of an album."""
    return next(iter(album)).parent.parent
