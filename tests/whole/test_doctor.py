"""`imgctl doctor` reports a catalog that is damaged or accepts no writes, missing rights, and stuck erasures."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from imgctl.keys import new_id
from imgctl.store.catalog import health
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.holds import hold, release
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server, restart, sqlite_catalog
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Result

NOBODY = 65534


def check(result: Result, name: str) -> dict[str, object]:
    """Return the check of this name."""
    [found] = [one for one in result.of("check") if one["name"] == name]
    return found


def assert_fails(result: Result, name: str, detail: str, hint: str) -> None:
    found = check(result, name)
    assert (result.code, found["level"]) == (1, "fail"), result.out
    assert detail in str(found["detail"])
    assert hint in str(found["hint"])


@pytest.fixture
def shared(embedded: Deployment) -> Iterator[Deployment]:
    """A catalog in a directory that every user can reach."""
    place = Path(tempfile.mkdtemp())
    url = sqlite_catalog(place)
    with closing(open_catalog(url)) as catalog, catalog.read():
        pass
    place.chmod(0o755)
    yield replace(embedded, catalog_url=url)
    shutil.rmtree(place)


def as_nobody(deployment: Deployment, *arguments: str) -> Result:
    """Run as a user who owns nothing; as root, file modes mean nothing."""
    before = partial(os.setuid, NOBODY) if os.geteuid() == 0 else None
    return deployment.start(*arguments, before=before).wait()


def test_a_healthy_catalog_passes_every_check(deployment: Deployment) -> None:
    deployment.run("init")

    result = deployment.run("doctor", "--json")

    assert result.code == 0, result.out
    levels = {str(one["name"]): one["level"] for one in result.of("check")}
    assert levels["writes"] == levels["schema"] == "ok"
    assert ("damage" in levels) is deployment.catalog_url.startswith("sqlite")
    assert "erasures" not in levels


def test_a_damaged_page_is_reported(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))
    with closing(open_catalog(embedded.catalog_url)) as catalog, catalog.write() as connection:
        root = connection.execute(
            text("SELECT rootpage FROM sqlite_master WHERE name = 'idx_user_recent'")
        ).scalar_one()
        size = connection.execute(text("PRAGMA page_size")).scalar_one()
    with (embedded.directory / "catalog.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * 200)

    assert_fails(embedded.run("doctor", "--json"), "damage", "", "backup")


def test_a_long_check_of_pages_ends_after_its_time(embedded: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PAUSE_SECONDS", 0)
    embedded.run("init")

    with closing(open_catalog(embedded.catalog_url)) as catalog:
        with catalog.write() as connection:
            rows = (
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i, hex(i) FROM n"
            )
            connection.execute(text(f"CREATE TABLE many AS {rows}"))
        assert health.check_damage(catalog, seconds=0) is False
        assert health.check_damage(catalog, seconds=60) is True


@pytest.mark.parametrize(
    ("directory", "file", "name"), [(0o555, 0o666, "database"), (0o777, 0o444, "writes"), (0o555, 0o444, "database")]
)
def test_a_catalog_that_this_user_may_not_write_is_reported(
    shared: Deployment, directory: int, file: int, name: str
) -> None:
    path = Path(make_url(shared.catalog_url).database or "")
    path.chmod(file)
    path.parent.chmod(directory)

    result = as_nobody(shared, "doctor", "--json")

    path.parent.chmod(0o755)
    assert_fails(result, name, str(path), "write permission on the file and its directory")


def test_a_reader_without_write_permission_gets_one_line_with_the_next_step(shared: Deployment) -> None:
    path = Path(make_url(shared.catalog_url).database or "")
    path.parent.chmod(0o555)

    alone = as_nobody(shared, "find", "--user", str(USER))
    with closing(open_catalog(shared.catalog_url)) as catalog, catalog.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        connection.commit()
        # A process that has the catalog open keeps the WAL and its index in place: they can be read.
        beside = as_nobody(shared, "find", "--user", str(USER))

    path.parent.chmod(0o755)
    assert (alone.code, beside.code) == (1, 0), beside.err
    assert "write permission on the file and its directory" in alone.err
    assert "copy the file with its -wal" in alone.err
    assert len(alone.err.splitlines()) == 1


def test_files_that_a_reader_left_beside_the_catalog_are_named(shared: Deployment) -> None:
    path = Path(make_url(shared.catalog_url).database or "")
    wal = path.with_name("catalog.db-wal")
    for one in (wal, path.with_name("catalog.db-shm")):
        one.touch(mode=0o444)
    os.chown(path, NOBODY if os.geteuid() == 0 else -1, -1)
    path.parent.chmod(0o777)

    result = as_nobody(shared, "hold", "--user", str(USER), "--reason", "case")

    assert result.code == 1
    assert f"{wal} cannot be written" in result.err


def test_a_database_that_is_read_only_by_default_is_reported(servers: Deployment) -> None:
    read_only = replace(servers, catalog_url=f"{servers.catalog_url}&options=-cdefault_transaction_read_only%3Don")

    assert_fails(read_only.run("doctor", "--json"), "writes", "default_transaction_read_only", "ALTER ROLE")


@pytest.mark.parametrize(
    ("granted", "code", "found"),
    [
        (["SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"], 0, []),
        (
            ["SELECT ON ALL TABLES IN SCHEMA public", "INSERT, UPDATE ON images, operations, fingerprints"],
            0,
            [("ok", "DELETE ON images; INSERT, UPDATE ON erased, holds")],
        ),
        (
            ["SELECT ON ALL TABLES IN SCHEMA public", "DELETE ON images", "INSERT, UPDATE ON erased, holds"],
            0,
            [("warn", "INSERT, UPDATE ON fingerprints, images, operations")],
        ),
        (
            ["SELECT, INSERT ON ALL TABLES IN SCHEMA public", "DELETE ON images", "UPDATE ON erased, holds, images"],
            1,
            [("fail", "UPDATE ON fingerprints, operations")],
        ),
        (
            ["SELECT ON images, operations, fingerprints, erased, alembic_version", "INSERT, UPDATE ON images"],
            1,
            [
                ("fail", "SELECT ON holds"),
                ("fail", "INSERT, UPDATE ON fingerprints, operations"),
                ("ok", "DELETE ON images; INSERT, UPDATE ON erased, holds"),
            ],
        ),
    ],
)
def test_missing_rights_are_named_with_their_grants(
    embedded: Deployment, postgres_url: str, granted: list[str], code: int, found: list[tuple[str, str]]
) -> None:
    role = f'"a role of {make_url(postgres_url).database}"'
    url = make_url(postgres_url).set(username=role.strip('"')).render_as_string(hide_password=False)
    user = replace(embedded, catalog_url=url)
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        try:
            for rights in granted:
                connection.execute(text(f"GRANT {rights} TO {role}"))
            before = user.run("doctor", "--json")
            for one in before.of("check"):
                if one["name"] == "rights":
                    connection.execute(text(str(one["hint"])))
            after = user.run("doctor", "--json")
        finally:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    engine.dispose()

    assert before.code == code, before.out
    named = [
        (str(one["level"]), str(one["detail"]).partition(": ")[2])
        for one in before.of("check")
        if one["name"] == "rights"
    ]
    assert named == found
    assert after.code == 0, after.out
    assert "rights" not in {one["name"] for one in after.of("check")}


def test_a_standby_is_reported(embedded: Deployment, tmp_path: Path) -> None:
    with postgres_server(tmp_path) as url:
        with closing(open_catalog(url)) as catalog:
            upgrade(catalog)
        restart(url, standby=True)
        result = replace(embedded, catalog_url=url).run("doctor", "--json")

    assert_fails(result, "writes", "is a standby", "primary")


def test_erasures_begun_with_another_secret_are_reported(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(photo(1))
    begun = deployment.with_settings(SERVE_SECRET="the former")
    later = deployment.with_settings(SERVE_SECRET="the new one")
    begun.run("upload", tmp_path / "1.jpg", "--user", str(USER))
    with closing(open_catalog(deployment.catalog_url)) as catalog:
        with catalog.write() as connection:
            connection.execute(text("UPDATE images SET status = 'uploading'"))
        erased = begun.run("erase", "--user", str(USER), "--confirm-user", str(USER), "--yes", "--wait", "0s")
        own, free = begun.run("doctor", "--json"), later.run("doctor", "--json")
        on = new_id(datetime.now(UTC))
        with catalog.write() as connection:
            hold(connection, on, USER, reason="case", by="me")
        held = later.run("doctor", "--json")
        with catalog.write() as connection:
            release(connection, hold_id=on, by="me")

    assert erased.code == 3, erased.err
    assert [one for one in own.of("check") if one["name"] == "erasures"] == []
    warned = check(free, "erasures")
    assert (free.code, warned["level"]) == (0, "warn")
    assert warned["detail"] == "1 unfinished erasure began with another or unknown [serve] secret"
    assert "erase --unfinished" in str(warned["hint"])
    assert_fails(held, "erasures", "cannot finish while any user is held", "set that secret")
