"""Every command that changes something is recorded: user, command, scope and result."""

import sqlite3
from pathlib import Path

import click
import pytest

from imgctl.cli.common.layout import Command
from imgctl.ops.common.operation_record import who
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, kill_when
from tools.docs import commands

CHANGE_NOTHING = {
    "cost actual", "cost cards", "cost lab", "cost model", "cost what-if", "completion", "demo", "doctor", "help", "history",
    "find", "show", "stats", "top", "verify",
}  # fmt: skip


def operations(deployment: Deployment, *options: str) -> list[dict[str, object]]:
    """Return the records of `imgctl history`."""
    return deployment.run("history", "--json", *options).of("operation")


@pytest.fixture
def album(embedded: Deployment) -> Path:
    """Write a photo and a file that is not one."""
    place = embedded.directory / "album"
    place.mkdir()
    (place / "1.jpg").write_bytes(photo(1))
    (place / "notes.txt").write_text("no picture")
    return place


def test_every_command_either_changes_nothing_or_is_written_down() -> None:
    leaves = {name: one for name, one in commands().items() if not isinstance(one, click.Group)}

    written = {name for name, one in leaves.items() if isinstance(one, Command) and one.is_recorded}
    assert written == leaves.keys() - CHANGE_NOTHING


def test_a_run_is_recorded_with_its_scope_its_counts_and_its_end(embedded: Deployment, album: Path) -> None:
    report = embedded.directory / "report.csv"
    embedded.run("upload", album, "--user", str(USER), "--report", "report.csv")
    embedded.run("work", "--drain")
    (image,) = embedded.images()
    embedded.run("get", str(image.id), "--out", "out")
    embedded.run("restore", str(image.id)[:13], "--tier", "standard", "--yes")

    restore, get, work, upload = operations(embedded)
    assert upload["who"] == who()
    assert upload["user_id"] == str(USER)
    assert upload["scope"] == {"paths": [str(album)], "user": str(USER), "report": "report.csv"}
    assert upload["counts"] == {"uploaded": 1, "skipped": 1, "files": 2, "bytes_uploaded": len(photo(1))}
    assert (upload["exit_code"], upload["report"]) == (0, str(report))
    assert (work["command"], work["counts"], work["user_id"]) == ("work", {"ready": 1}, None)
    assert get["scope"] == {"images": [str(image.id)], "out": "out"}
    assert restore["command"] == "restore"

    assert [one["command"] for one in operations(embedded, "--user", str(USER))] == ["restore", "get", "work", "upload"]
    assert [one["command"] for one in operations(embedded, "--command", "get", "--limit", "1")] == ["get"]
    assert [one["command"] for one in operations(embedded, "--id", str(image.id))] == [
        "restore",
        "get",
        "work",
        "upload",
    ]
    assert "imgctl history --id" in embedded.run("show", str(image.id)).out


def test_a_link_to_an_original_is_recorded_for_its_image_alone(embedded: Deployment, album: Path) -> None:
    (album / "2.jpg").write_bytes(photo(2))
    embedded.run("upload", album, "--user", str(USER))
    embedded.run("work", "--drain")
    asked, other = embedded.images()
    embedded.run("url", str(asked.id))
    embedded.run("url", asked.original_key or "", "--original")

    [link] = operations(embedded, "--id", str(asked.id), "--command", "url")
    assert (link["who"], link["exit_code"]) == (who(), 0)
    assert link["scope"] == {"image": asked.original_key, "original": True}
    assert operations(embedded, "--id", str(other.id), "--command", "url") == []


def test_what_changes_nothing_is_not_written_down(embedded: Deployment, album: Path) -> None:
    embedded.run("upload", album, "--user", str(USER), "--dry-run")
    embedded.run("ls")
    embedded.run("repair")

    assert operations(embedded) == []


def test_a_refused_run_prints_the_reason(embedded: Deployment, album: Path) -> None:
    embedded.run("upload", album, "--user", str(USER))
    embedded.run("get", "0190b2b4-0000-7000-8000-000000000009", "--out", "out")

    refused, _ = operations(embedded)
    assert refused["exit_code"] == 1
    assert str(refused["error"]).startswith("no image 0190b2b4")


def test_a_killed_run_has_begun_and_not_ended(new_deployment: Deployment) -> None:
    new_deployment.run("init")
    kill_when(new_deployment.start("work"), lambda: len(operations(new_deployment)) == 2)

    work, init = operations(new_deployment)
    assert (work["command"], work["ended_at"], work["exit_code"]) == ("work", None, None)
    assert (init["command"], init["exit_code"]) == ("init", 0)
    assert "not ended" in new_deployment.run("history").out


def test_a_list_that_cannot_be_written_costs_a_warning_and_not_the_work(embedded: Deployment, album: Path) -> None:
    embedded.run("init")
    with sqlite3.connect(embedded.directory / "catalog.db") as catalog:
        catalog.execute("DROP TABLE operations")
    catalog.close()
    result = embedded.run("upload", album, "--user", str(USER))

    assert result.code == 0
    assert "this run is not recorded in the operations" in result.err
    assert len(embedded.images()) == 1
