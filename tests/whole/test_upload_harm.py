"""Uploads with unusual input: one file for two users, lists that are also outputs, odd names and numbers."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from imgctl.model import Status
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment

UPLOAD = ("upload", "--user", str(USER))


def test_a_file_that_the_journal_knows_of_one_user_is_uploaded_for_another(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    photo, other = next(iter(album)), UUID("0190b2b4-0000-7000-8000-000000000002")
    manifest = embedded.directory / "two.csv"
    manifest.write_text(f"path,user_id\n{photo},{USER}\n{photo},{other}\n{photo},{USER}\n")
    embedded.run(*UPLOAD, photo)

    first = embedded.run("upload", "--manifest", manifest, "--json")
    second = embedded.run("upload", "--manifest", manifest, "--json")

    assert {image.user_id for image in embedded.images()} == {USER, other}
    assert (first.summary["uploaded"], first.summary["present"]) == (1, 2)
    assert second.summary["present"] == 3


def test_a_dry_run_leaves_the_promises_of_a_killed_run_alone(deployment: Deployment, album: dict[Path, bytes]) -> None:
    deployment.run(*UPLOAD, place_of(album))
    unconfirm(deployment)
    deployment.open_store().delete(image.original_key or "" for image in deployment.images())

    result = deployment.run(*UPLOAD, place_of(album), "--dry-run", "--journal", "none", "--json")

    assert (result.summary["planned"], result.summary["uploaded"]) == (22, 0)
    assert list(deployment.open_store().scan()) == []
    assert {image.status for image in deployment.images()} == {Status.UPLOADING}


def test_a_key_that_holds_another_content_is_no_change_while_reading(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    embedded.run(*UPLOAD, place_of(album))
    unconfirm(embedded)
    image = embedded.images()[0]
    embedded.open_store().replace(image.original_key or "", b"another", content_type="image/jpeg")

    result = embedded.run(*UPLOAD, place_of(album), "--journal", "none", "--json")

    assert result.code == 3
    failed = [file for file in result.of("file") if file["fate"] == "failed"]
    assert {(file["id"], file["reason"]) for file in failed} == {(str(image.id), "store")}
    assert embedded.open_store().get(image.original_key or "") == b"another"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--files-from", "list", "--failed-out", "list"),
        ("--manifest", "list", "--failed-out", "./list"),
        ("--manifest", "link.csv", "--report", "list.csv"),
        ("--files-from", "list", "--failed-out", "new.csv", "--report", "new.csv"),
    ],
)
def test_what_a_run_reads_is_never_what_it_writes(embedded: Deployment, arguments: tuple[str, ...]) -> None:
    names = [embedded.directory / name for name in ("list", "list.csv")]
    for name in names:
        name.write_text("path\nphoto.jpg\n")
    (embedded.directory / "link.csv").symlink_to("list.csv")

    result = embedded.run(*UPLOAD, *arguments)

    assert result.code == 2
    assert "name another file" in result.err
    assert [name.read_text() for name in names] == ["path\nphoto.jpg\n"] * 2


def test_a_manifest_to_insert_is_never_its_own_report(embedded: Deployment) -> None:
    manifest = embedded.directory / "list.csv"
    manifest.write_text(f"key,user_id\na.jpg,{USER}\n")

    result = embedded.run("insert", manifest, "--report", manifest)

    assert result.code == 2
    assert manifest.read_text() == f"key,user_id\na.jpg,{USER}\n"


def test_the_list_of_failed_files_goes_where_a_link_leads(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").touch()
    link = embedded.directory / "failed"
    link.symlink_to(tmp_path / "real")

    embedded.run(*UPLOAD, tmp_path / "bad.jpg", "--failed-out", link)

    assert link.is_symlink()
    assert (tmp_path / "real").read_text() == f"{tmp_path}/bad.jpg\n"


def test_half_a_character_of_json_in_a_path_is_a_bad_line(embedded: Deployment, album: dict[Path, bytes]) -> None:
    manifest = embedded.directory / "list.jsonl"
    manifest.write_text('{"path": "\\ud800.jpg"}\n' + json.dumps({"path": str(next(iter(album)))}))

    result = embedded.run(*UPLOAD, "--manifest", manifest, "--report", embedded.directory / "report.csv", "--json")

    assert result.code == 3, result.err
    assert result.summary["reasons"] == {"bad_line": 1}
    assert result.summary["uploaded"] == 1


def unconfirm(deployment: Deployment) -> None:
    """Put the catalog into the state after a kill between the puts and the confirmations."""
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).values(status=Status.UPLOADING))
    catalog.close()
