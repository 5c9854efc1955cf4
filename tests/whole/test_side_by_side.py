"""Two releases on one schema: this release continues to work after a newer one has upgraded the catalog."""

import pytest
from sqlalchemy import text

from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.upgrade import HEAD, upgrade
from tests.whole.deployment import USER, Deployment
from tests.whole.sessions import write_photos

# Changes that a later release may make while this one runs.
LATER = (
    "ALTER TABLE images ADD COLUMN stars INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE images ADD COLUMN album TEXT",
    "CREATE INDEX idx_album ON images (album)",
    "CREATE TABLE albums (id INTEGER PRIMARY KEY)",
)


@pytest.fixture
def newer(embedded: Deployment) -> Deployment:
    """A catalog that a later release upgraded, and photos."""
    write_photos(embedded.directory)
    catalog = open_catalog(embedded.catalog_url)
    upgrade(catalog)
    say(catalog, *LATER, f"UPDATE alembic_version SET version_num = '9000', oldest_program = '{HEAD}'")
    catalog.close()
    return embedded


def say(catalog: Catalog, *statements: str) -> None:
    with catalog.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_whole_cycle_runs_beside_a_newer_release(newer: Deployment) -> None:
    assert "compatible with this one" in newer.run("init", "--check").out
    assert newer.run("init").code == 0
    assert newer.run("upload", "photos", "--user", str(USER)).code == 0
    assert newer.run("work", "--drain").code == 0
    [first, *_] = newer.run("ls", "--json").of("image")
    assert newer.run("show", str(first["id"])).code == 0
    assert newer.run("audit").code == 0
    assert newer.run("repair").code == 0
    assert {name for name in first if name in {"stars", "album"}} == set()


def test_release_that_the_schema_no_longer_admits_stops(newer: Deployment) -> None:
    catalog = open_catalog(newer.catalog_url)
    say(catalog, "UPDATE alembic_version SET oldest_program = '9000'")
    catalog.close()

    refused, checked = newer.run("ls"), newer.run("init", "--check")

    assert (refused.code, checked.code) == (5, 5)
    assert "has schema 9000" in refused.err
    assert "upgrade this one" in refused.err
    assert "upgrade this imgctl" in checked.out


def test_check_names_what_is_missing_and_applies_nothing(new_embedded: Deployment) -> None:
    catalog = open_catalog(new_embedded.catalog_url)
    upgrade(catalog, to="0003")
    catalog.close()

    checked = [new_embedded.run("init", "--check", "--json") for _ in range(2)][-1]

    assert checked.code == 5
    assert next(one["revision"] for one in checked.of("migration")) == "0004"
    assert (checked.summary["schema"], checked.summary["wanted"]) == ("0003", HEAD)
    assert new_embedded.run("init").code == 0
    assert new_embedded.run("init", "--check").code == 0
