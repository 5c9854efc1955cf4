"""What the tests of several operations begin with."""

from contextlib import closing
from pathlib import Path

import pytest

from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite catalog without rows, to be copied."""
    file = tmp_path_factory.mktemp("template") / "catalog.db"
    with closing(open_catalog(f"sqlite:///{file}")) as catalog:
        upgrade(catalog)
    return file
