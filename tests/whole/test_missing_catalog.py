"""Only commands that begin an archive create a catalog; all others end with 5 at a mistyped URL and leave no file."""

import json
from dataclasses import replace

import click
import pytest
from sqlalchemy import create_engine, inspect, text

from imgctl.cli.common.layout import Command
from imgctl.errors import SchemaNotCurrent
from imgctl.ops.plan import FORMAT
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, Result
from tools.docs import commands

OWNER = f"--user {USER}"
OPEN_NO_CATALOG = {"completion", "cost cards", "cost model", "help"}
BEGIN_AN_ARCHIVE = {"demo", "init", "insert", "upload"}
EXISTING = {
    "apply": "apply plan.jsonl --yes",
    "audit": "audit",
    "backfill": "backfill",
    "cost actual": "cost actual",
    "cost lab": "cost lab --out lab.html --from-catalog",
    "cost what-if": "cost what-if --transition older-than=90d,to=GLACIER",
    "erase": f"erase {OWNER} --confirm-user {USER} --yes",
    "export": f"export {OWNER} --out bag",
    "find": f"find {OWNER}",
    "get": f"get {USER} --out out",
    "history": "history",
    "hold": f"hold {OWNER} --reason case-4711",
    "listen": "listen --store s3://photos --sqs http://127.0.0.1:9/1/events --drain",
    "release": f"release {OWNER}",
    "repair": "repair --delete-orphans --apply",
    "restore": f"restore {OWNER} --yes",
    "serve": "serve",
    "show": f"show {USER}",
    "stats": "stats",
    "top": "top --once",
    "transition": "transition --to GLACIER --older-than 0d --yes",
    "url": f"url {USER}",
    "verify": f"verify photos {OWNER}",
    "watch": f"watch photos {OWNER}",
    "work": "work --drain",
}
VARIATIONS = ("backfill --metadata --yes", "hold", f"upload photos {OWNER} --dry-run", "insert manifest.csv --dry-run")
LINES = (*EXISTING.values(), *VARIATIONS)


@pytest.fixture
def mistyped(embedded: Deployment) -> Deployment:
    """A SQLite URL in a directory that does not exist, with inputs for every command."""
    place = embedded.directory
    (place / "photos").mkdir()
    (place / "photos" / "1.jpg").write_bytes(photo(1))
    (place / "manifest.csv").write_text(f"key,user_id\nold/1.jpg,{USER}\n")
    (place / "blobs" / "old").mkdir(parents=True)
    (place / "blobs" / "old" / "1.jpg").write_bytes(photo(2))
    lines = (
        {"type": "plan", "version": FORMAT, "command": "transition", "created_at": "2026-01-01T00:00:00+00:00"},
        {"type": "summary", "actions": 0},
    )
    (place / "plan.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    settings = {"SERVE_PORT": "0", "SERVE_SECRET": "what signs receipts", "STORE_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret"}
    at = replace(embedded, catalog_url=f"sqlite:///{place}/typo/catalog.db")
    return at.with_settings(**settings).in_environment(**keys)


def assert_names_the_next_step(result: Result, line: str, *words: str) -> None:
    lines = [one for one in result.err.splitlines() if one.startswith("imgctl: ")]
    assert result.code == 5, f"{line} ended with {result.code}: {result.err}"
    assert len(lines) == 1, f"{line}: {result.err}"
    for word in (*words, "imgctl init", "[catalog] url"):
        assert word in lines[0], f"{line}: {lines[0]}"


def test_every_command_is_one_of_these() -> None:
    leaves = {name for name, one in commands().items() if isinstance(one, Command) and not isinstance(one, click.Group)}

    assert leaves == {*EXISTING, *BEGIN_AN_ARCHIVE, *OPEN_NO_CATALOG, "doctor"}


@pytest.mark.parametrize("line", LINES)
def test_a_mistyped_path_is_reported_and_no_file_appears(mistyped: Deployment, line: str) -> None:
    result = mistyped.run(*line.split())

    assert_names_the_next_step(result, line, f"catalog {mistyped.catalog_url} does not exist")
    assert not (mistyped.directory / "typo").exists()


@pytest.mark.parametrize("line", LINES)
def test_a_search_path_without_tables_is_reported_and_stays_empty(
    mistyped: Deployment, empty_postgres_url: str, line: str
) -> None:
    hidden = replace(mistyped, catalog_url=f"{empty_postgres_url}&options=-csearch_path%3Dtypo")
    engine = create_engine(empty_postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA typo"))

    result = hidden.run(*line.split())

    assert_names_the_next_step(result, line, "has no tables in its search_path typo")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM pg_class WHERE relnamespace = 'typo'::regnamespace"))
        assert found.scalar_one() == 0
    engine.dispose()


@pytest.mark.parametrize("line", ["init --check", "doctor", f"find {OWNER} --limit 1"])
def test_a_missing_file_in_an_existing_directory_is_not_made(mistyped: Deployment, line: str) -> None:
    (mistyped.directory / "typo").mkdir()

    result = mistyped.run(*line.split())

    assert result.code != 0
    assert "imgctl init" in result.out + result.err
    assert list((mistyped.directory / "typo").iterdir()) == []


@pytest.mark.parametrize("line", [f"upload photos {OWNER}", "insert manifest.csv --yes", "init"])
def test_commands_that_begin_an_archive_create_the_catalog(mistyped: Deployment, line: str) -> None:
    result = mistyped.run(*line.split())

    assert result.code == 0, result.err
    assert mistyped.run("find", "--user", str(USER)).code == 0


def test_a_catalog_that_disappears_is_not_made_again(mistyped: Deployment) -> None:
    catalog = open_catalog(mistyped.catalog_url)
    upgrade(catalog)
    catalog.close()
    (mistyped.directory / "typo" / "catalog.db").unlink()

    with pytest.raises(SchemaNotCurrent, match="does not exist"), catalog.write():
        pass

    assert list((mistyped.directory / "typo").iterdir()) == []


@pytest.mark.parametrize("line", ["init", "init --check", f"upload photos {OWNER}", "find --status failed"])
def test_tables_of_another_program_are_left_alone(mistyped: Deployment, empty_catalog_url: str, line: str) -> None:
    catalog = open_catalog(empty_catalog_url)
    catalog.make_file()
    with catalog.write() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('ae1027a6acf')"))

    result = replace(mistyped, catalog_url=empty_catalog_url).run(*line.split())

    assert result.code == 5
    assert "tables of another program (alembic_version ae1027a6acf)" in result.err.splitlines()[-1]
    assert "[catalog] url" in result.err.splitlines()[-1]
    with catalog.read() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    catalog.close()
