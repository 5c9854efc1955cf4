"""Bad input: one clear line with the next step, the right exit code, and all other files are processed."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.model import Status
from tests.parts.postgres import sqlite_catalog
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Result

UPLOAD = ("--user", str(USER))


def assert_one_line(result: Result, *words: str) -> None:
    """Assert that stderr ends in one line with these words, without a traceback."""
    last = result.err.strip().splitlines()[-1]
    assert "Traceback" not in result.err
    for word in words:
        assert word in last


def test_a_path_that_is_not_there_fails_alone(embedded: Deployment, album: dict[Path, bytes]) -> None:
    result = embedded.run("upload", "/no/such/place", place_of(album), *UPLOAD)

    assert result.code == 3
    assert_one_line(result, "/no/such/place", "no such file", "check the path")
    assert len(embedded.images()) == 20


def test_a_truncated_jpeg_is_kept_rendered_and_called_damaged(embedded: Deployment, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photo(3)[:-400])

    uploaded = embedded.run("upload", cut, *UPLOAD)
    worked = embedded.run("work", "--drain")

    assert (uploaded.code, worked.code) == (0, 0)
    (image,) = embedded.images()
    assert image.status is Status.READY
    assert image.error is not None and "cut off" in image.error


def test_a_user_that_is_no_uuid_is_a_usage_error(embedded: Deployment) -> None:
    result = embedded.run("upload", ".", "--user", "42")

    assert result.code == 2
    assert_one_line(result, "'42'", "UUID", "imgctl upload --help")


def test_a_database_that_is_down_is_named_without_its_password(embedded: Deployment) -> None:
    down = replace(embedded, catalog_url="postgresql+psycopg://imgctl:hush@127.0.0.1:9/photos")

    result = down.run("ls", *UPLOAD)

    assert result.code == 1
    assert_one_line(result, "127.0.0.1:9", "is the database running")
    assert "hush" not in result.err


def test_a_bucket_that_is_not_there_stops_the_upload(
    embedded: Deployment, album: dict[Path, bytes], moto_s3: S3Server
) -> None:
    lost = replace(embedded, store=StoreSettings(url="s3://not-made-yet", endpoint_url=moto_s3.endpoint_url))

    result = lost.run("upload", place_of(album), *UPLOAD)

    assert result.code == 1
    assert_one_line(result, "not-made-yet")
    assert embedded.images() == []


def test_a_misspelt_setting_is_refused_with_the_nearest_one(embedded: Deployment) -> None:
    (embedded.directory / "imgctl.toml").write_text("[store]\nulr = 's3://photos'\n")

    result = embedded.run("ls", *UPLOAD)

    assert result.code == 2
    assert_one_line(result, "imgctl.toml", "[store] ulr", "did you mean url?")


def test_a_schema_of_another_version_ends_with_5(embedded: Deployment) -> None:
    from sqlalchemy import create_engine, text

    embedded.run("init")
    engine = create_engine(embedded.catalog_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999', oldest_program = '9999'"))
    engine.dispose()

    result = embedded.run("ls", *UPLOAD)

    assert result.code == 5
    assert_one_line(result, "9999", "upgrade")


def test_a_command_that_is_misspelt_is_met_with_the_right_one(embedded: Deployment) -> None:
    result = embedded.run("uplaod")

    assert result.code == 2
    assert_one_line(result, "uplaod", "Did you mean upload?")


@pytest.mark.parametrize(("arguments", "code"), [("ls", 0), ("ls --nope", 2)])
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-", ">&-", "<&- >&- 2>&-"])
def test_a_closed_or_full_standard_stream_leaves_the_exit_code(
    tmp_path: Path, arguments: str, code: int, redirection: str
) -> None:
    # Buffered, as by default.
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("IMGCTL_", "PYTHONUNBUFFERED"))
    }
    (tmp_path / "imgctl-data").mkdir()
    sqlite_catalog(tmp_path / "imgctl-data")
    command = f'"{sys.executable}" -m imgctl {arguments} {redirection}'

    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, check=False)

    assert done.returncode == code


@pytest.mark.parametrize(
    "arguments",
    [f"upload --files-from - --user {USER}", "backfill --ids-from -", "erase --ids-from -", "repair -"],
)
def test_a_list_from_a_closed_stdin_is_an_error(embedded: Deployment, arguments: str) -> None:
    command = f'"{sys.executable}" -m imgctl {arguments} <&-'

    done = subprocess.run(
        command, shell=True, env=embedded.environment(), stderr=subprocess.PIPE, text=True, check=False
    )

    assert done.returncode == 2
    assert "the standard input is closed" in done.stderr


def test_no_file_takes_the_descriptor_of_a_closed_stream(embedded: Deployment, album: dict[Path, bytes]) -> None:
    command = [sys.executable, "-m", "imgctl", "upload", str(place_of(album)), "--user", str(USER)]
    closed = 'exec "$@" <&- >&- 2>&-'

    done = subprocess.run(["sh", "-c", closed, "sh", *command], env=embedded.environment(), check=False)

    assert done.returncode == 0
    assert len(embedded.images()) == len(set(album.values()))
    assert embedded.run("audit", "--deep").code == 0
