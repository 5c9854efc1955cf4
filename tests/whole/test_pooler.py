"""Behind a pooler in transaction mode every command has the same result, and leaves no state in a session."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest

from imgctl.model import Status
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole
from tests.whole.test_serve import SERVE, address, ended, send

IDLE = ("work", "--max-duration", "2s")

# Statements whose effect stays in a session after its transaction.
KEPT = re.compile(
    r"execute (?!<unnamed>)\S+:|\bLISTEN\b|pg_(?:try_)?advisory_lock|\bPREPARE\b"
    r"|(?<!alembic_version )\bSET (?:SESSION|(?!LOCAL\b|TRANSACTION\b)\w+ (?:=|TO)) |\bTEMP(?:ORARY)?\b|WITH HOLD",
    re.IGNORECASE,
)
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]+): (?P<text>.*)")


@pytest.fixture
def pooled(embedded: Deployment, pooled_url: str) -> Deployment:
    """A directory, and Postgres through a PgBouncer."""
    return replace(embedded, catalog_url=pooled_url)


@pytest.fixture
def logged(embedded: Deployment, empty_postgres_url: str) -> Iterator[tuple[Deployment, Path]]:
    """A directory and a Postgres that logs every statement of the test, with the log."""
    plain = empty_postgres_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        row = connection.execute("SELECT current_database(), current_setting('data_directory')").fetchone()
        assert row is not None
        connection.execute(f"ALTER DATABASE {row[0]} SET log_statement = 'all'".encode())
    yield replace(embedded, catalog_url=empty_postgres_url), Path(str(row[1])) / "log"


def test_upload_work_and_audit_end_as_without_a_pooler(pooled: Deployment, album: dict[Path, bytes]) -> None:
    runs = [
        pooled.run("init"),
        pooled.run("upload", place_of(album), "--user", str(USER)),
        pooled.run("upload", place_of(album), "--user", str(USER), "--journal", "none"),
        pooled.run("work", "--drain"),
        pooled.run("audit", "--grace", "0s"),
        pooled.run("stats"),
        pooled.run("ls", "--json"),
    ]

    assert [(run.code, run.err) for run in runs if run.code] == []
    assert "0 findings" in runs[4].out + runs[4].err
    assert_whole(pooled, album.values(), status=Status.READY)


def test_two_workers_and_two_uploads_share_two_sessions(pooled: Deployment, album: dict[Path, bytes]) -> None:
    pooled.run("init")
    uploads = [pooled.start("upload", place_of(album), "--user", str(USER), "--journal", "none") for _ in range(2)]
    assert [run.wait().code for run in uploads] == [0, 0]

    workers = [pooled.start("work", "--drain") for _ in range(2)]

    assert [run.wait().code for run in workers] == [0, 0]
    assert_whole(pooled, album.values(), status=Status.READY)


def test_an_idle_worker_finds_an_upload_by_polling(pooled: Deployment, album: dict[Path, bytes]) -> None:
    pooled.run("init")
    worker = pooled.with_settings(WORK_POLL="1h").start("work", "--limit", "1")
    assert pooled.run("upload", next(iter(album)), "--user", str(USER)).code == 0

    result = worker.wait()

    assert result.code == 0, result.err
    assert [image.status for image in pooled.images()] == [Status.READY]


def test_idle_workers_that_share_two_sessions_end_cleanly(pooled: Deployment) -> None:
    pooled.run("init")
    workers = [pooled.with_settings(WORK_POLL="100ms").start(*IDLE) for _ in range(4)]

    ended = [worker.wait() for worker in workers]

    assert [(one.code, one.err) for one in ended if one.code or "waiting" in one.err] == []


def test_doctor_names_the_pooler(pooled: Deployment) -> None:
    pooled.run("init")

    result = pooled.run("doctor")

    assert "PgBouncer" in result.out + result.err


def test_no_command_leaves_anything_in_a_session(logged: tuple[Deployment, Path], tmp_path: Path) -> None:
    deployment, log = logged
    before = log.stat().st_size

    ended = {name: deployment.run(*command) for name, command in _arranged(deployment, tmp_path)}
    idle = deployment.with_settings(WORK_POLL="100ms").run(*IDLE)
    ended |= {name: deployment.run(*command) for name, command in _look_ups(deployment, tmp_path)}
    served = _served(deployment)

    with log.open(errors="replace") as file:
        file.seek(before)
        lines = file.read().splitlines()
    assert {name: run.err for name, run in ended.items() if run.code} == {}
    assert (idle.code, served) == (0, 0)
    statements = [line for line in lines if LOGGED.search(line)]
    assert len(statements) > 100, "the server logs no statements"
    # Without a pooler an idle worker may listen, on a connection of its own.
    assert [line for line in statements if KEPT.search(line) and "LISTEN" not in line] == []


def _arranged(deployment: Deployment, directory: Path) -> Iterator[tuple[str, list[str]]]:
    """Return every command that changes something, in an order in which each has work and exits 0."""
    for number in range(3):
        (directory / f"{number}.jpg").write_bytes(photo(number))
    legacy, plan = directory / "legacy.jsonl", directory / "plan"
    yield "init", ["init"]
    yield "upload", ["upload", str(directory), "--include", "*.jpg", "--user", str(USER)]
    deployment.open_store().replace("legacy/9.jpg", photo(9), content_type="image/jpeg")
    legacy.write_text(json.dumps({"key": "legacy/9.jpg", "user_id": str(USER)}) + "\n")
    yield "insert", ["insert", str(legacy), "--yes"]
    yield "work", ["work", "--drain"]
    deployment.open_store().delete(["legacy/9.jpg"])
    yield "audit", ["audit", "--grace", "0s", "--deep", "--look", "2", "--storage-class"]
    yield "repair", ["repair", "--grace", "0s", "--apply"]
    yield "backfill", ["backfill", "--force", "--yes"]
    yield "backfill --metadata", ["backfill", "--metadata", "--yes"]
    cold = ["transition", "--to", "GLACIER", "--older-than", "0s", "--min-size", "0"]
    yield "transition --plan", [*cold, "--plan", str(plan)]
    yield "apply", ["apply", str(plan), "--yes"]
    yield "restore", ["restore", "--user", str(USER), "--days", "1", "--yes"]


def _look_ups(deployment: Deployment, directory: Path) -> Iterator[tuple[str, list[str]]]:
    """Return every command that changes nothing."""
    image = str(deployment.images()[0].id)
    yield "ls", ["ls"]
    yield "ls --user", ["ls", "--user", str(USER), "--since", "1d"]
    yield "show", ["show", image]
    yield "url", ["url", image, "--variant", "thumb"]
    yield "get", ["get", image, "--out", str(directory / "got")]
    yield "stats", ["stats", "--by", "day"]
    yield "cost actual", ["cost", "actual"]
    yield "doctor", ["doctor"]


def _served(deployment: Deployment) -> int:
    """Return the exit code of a server that accepted a picture and served it."""
    run = deployment.start(*SERVE)
    url = address(run)
    created = send(url, photo(7))
    assert created.status_code == 201, created.text
    assert httpx.get(f"{url}/images/{created.json()['id']}").status_code == 200
    assert httpx.get(f"{url}/users/{USER}").status_code == 200
    return ended(run)
