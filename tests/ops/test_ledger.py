"""An upload asks its catalog the short way, and the long way when that fails."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from imgctl.errors import CatalogError
from imgctl.model import Status
from imgctl.ops.upload.ledger import Ledger, open_ledger
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.promising import promise, standing
from tests.imaging.pictures import encoded, quadrants
from tests.store.catalog.rows import USER, new_image

UPLOAD = """
import sys
from imgctl.cli.main import run
print(run(sys.argv[1:]), "sqlalchemy" in sys.modules)
"""


def test_what_was_written_is_read(catalog_url: str) -> None:
    row = new_image(1)
    with open_ledger(catalog_url) as ledger:
        (promised,) = ledger.write(lambda asking: promise(asking, [row]))

        assert promised.created
        assert _standing(ledger, row.id) == {row.id: (USER, Status.UPLOADING)}


def test_an_empty_database_gets_its_tables(empty_catalog_url: str) -> None:
    with open_ledger(empty_catalog_url) as ledger:
        assert _standing(ledger, UUID(int=1)) == {}


def test_a_connection_that_died_is_followed_by_the_long_way(postgres_url: str) -> None:
    row = new_image(1)
    with open_ledger(postgres_url) as ledger:
        ledger.write(lambda asking: promise(asking, [row]))
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'imgctl'")

        assert _standing(ledger, row.id) == {row.id: (USER, Status.UPLOADING)}
        (again,) = ledger.write(lambda asking: promise(asking, [row]))
        assert not again.created


def test_what_goes_wrong_is_explained(postgres_url: str) -> None:
    with open_ledger(postgres_url) as ledger:
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
            other.execute("DROP TABLE images")

        with pytest.raises(CatalogError, match=r"catalog postgresql.*images"):
            _standing(ledger, UUID(int=1))


def test_the_place_is_the_same_whichever_way_it_is_asked(postgres_url: str) -> None:
    catalog = open_catalog(postgres_url)
    with open_ledger(postgres_url) as ledger:
        assert ledger.place == catalog.place
    catalog.close()


def test_an_upload_to_postgres_does_not_cost_the_import_of_sqlalchemy(postgres_url: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(quadrants(64, 48), "JPEG"))
    where = [
        "--catalog",
        postgres_url,
        "--store",
        f"file://{tmp_path}/blobs",
        "--journal",
        str(tmp_path / "journal.db"),
    ]
    upload = ["upload", str(photo), "--user", str(USER), *where, "--no-progress", "-q"]

    said = [
        subprocess.run([sys.executable, "-c", UPLOAD, *upload], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert said == ["0 False\n"] * 2


def _standing(ledger: Ledger, image: UUID) -> dict[UUID, tuple[UUID, Status]]:
    return ledger.read(lambda asking: standing(asking, [image]))
