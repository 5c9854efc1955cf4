"""Originals in an archive class stay there, with their metadata and tags, whichever commands run."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.model import Image
from imgctl.store.catalog.engine import open_catalog
from tests.parts.seaweed import S3Server
from tests.store.catalog.rows import requeue
from tests.whole.backfilling import PHOTOS, ready
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, Result

ARCHIVED = 3
BELONGS = {"ContentType": "image/x-special", "CacheControl": "private, max-age=7", "Metadata": {"origin": "camera"}}
TAGS = {"album": "summer", "keep": "yes"}


class Cold:
    """A deployment on moto with some originals transitioned to GLACIER."""

    def __init__(self, directory: Path, catalog_url: str, server: S3Server) -> None:
        directory.mkdir()
        self.bucket, self.client = server.new_bucket(), server.client()
        place = Deployment(directory=directory, catalog_url=catalog_url, store=server.settings(self.bucket))
        self.deployment = place
        ready(self.deployment)
        self.rows = self.deployment.images()[:ARCHIVED]
        self.names = directory / "archived.txt"
        self.names.write_text("".join(f"{row.id}\n" for row in self.rows))
        for row in self.rows:
            self._mark(row)
        command = ("transition", "--to", "GLACIER", "--ids-from", self.names, "--min-size", "0", "--yes", "--json")
        moved = self.run(*command)
        assert moved.summary["moved"] == ARCHIVED
        self.heads = [self.head(row) for row in self.rows]

    def run(self, *arguments: str | Path, code: int = 0) -> Result:
        """Run `imgctl`; assert this exit code."""
        result = self.deployment.run(*arguments)
        assert result.code == code, result.err
        return result

    def head(self, row: Image) -> dict[str, object]:
        """Return the store's metadata of an original, without its restore state."""
        metadata = self.client.head_object(Bucket=self.bucket, Key=row.original_key)
        return {name: value for name, value in metadata.items() if name not in ("Restore", "ResponseMetadata")}

    def tags(self, row: Image) -> dict[str, str]:
        """Return an original's tags; it must be readable."""
        found = self.client.get_object_tagging(Bucket=self.bucket, Key=row.original_key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    def assert_kept(self, after: str) -> None:
        """Assert that every HEAD returns the same as right after the transition, and that the rows have the class."""
        assert [self.head(row) for row in self.rows] == self.heads, after
        assert [row.storage_class for row in self.deployment.images() if row.id in self._ids()] == [
            "GLACIER"
        ] * ARCHIVED

    def requeue(self) -> None:
        """Let `work` build the variants of the archived images again."""
        catalog = open_catalog(self.deployment.catalog_url)
        with catalog.write() as connection:
            requeue(connection, sorted(self._ids()))
        catalog.close()

    def _ids(self) -> set[UUID]:
        return {row.id for row in self.rows}

    def _mark(self, row: Image) -> None:
        body = self.deployment.open_store().get(row.original_key or "")
        tagging = "&".join(f"{name}={value}" for name, value in TAGS.items())
        self.client.put_object(Bucket=self.bucket, Key=row.original_key, Body=body, Tagging=tagging, **BELONGS)


@pytest.fixture
def cold(tmp_path: Path, postgres_url: str, moto_s3: S3Server) -> Iterator[Cold]:
    """Postgres and moto, with originals in GLACIER with their own metadata and tags."""
    yield Cold(tmp_path / "run", postgres_url, moto_s3)


def test_no_other_command_resets_the_class_of_an_original(cold: Cold) -> None:
    assert {head["StorageClass"] for head in cold.heads} == {"GLACIER"}
    assert all(head.items() >= BELONGS.items() for head in cold.heads)
    manifest = _others(cold.deployment)

    _run_writers(cold, manifest)
    _run_readers(cold)
    priced = cold.run("backfill", "--force", "--json")
    cold.assert_kept("backfill of what is archived")
    restored = cold.run("restore", "--ids-from", cold.names, "--yes", "--json")
    cold.assert_kept("restore")
    # The originals are readable now, and the same commands read them.
    cold.run("restore", "--status")
    cold.deployment.open_store().delete([cold.rows[0].thumb_key or ""])
    cold.run("repair", "--apply", "--grace", "0s", "--storage-class")
    cold.assert_kept("repair of a lost variant")
    cold.requeue()
    worked = cold.run("work", "--drain", "--json")
    cold.assert_kept("work on what was restored")
    _run_writers(cold, manifest)
    built = cold.run("backfill", "--force", "--json")

    assert priced.summary["needs_restore"]["images"] == ARCHIVED  # type: ignore[index]
    assert restored.summary["requested"] == ARCHIVED
    assert worked.summary["ready"] == ARCHIVED
    assert (priced.summary["built"], built.summary["built"]) == (PHOTOS + 1 - ARCHIVED, PHOTOS + 1)
    cold.assert_kept("backfill of what was restored")
    assert [cold.tags(row) for row in cold.rows] == [TAGS] * ARCHIVED


def _others(deployment: Deployment) -> Path:
    """Write a manifest of two blobs to insert: a new photo, and an archived one."""
    lines = []
    for number in (0, PHOTOS):
        deployment.open_store().replace(f"legacy/{number}.jpg", photo(number), content_type="image/jpeg")
        lines.append(json.dumps({"key": f"legacy/{number}.jpg", "user_id": str(USER)}))
    manifest = deployment.directory / "manifest.jsonl"
    manifest.write_text("\n".join(lines))
    return manifest


def _run_writers(cold: Cold, manifest: Path) -> None:
    """Return every command that writes to the store or the rows, except those that change classes."""
    audit = ("--grace", "0s", "--storage-class")
    commands: list[tuple[str | Path, ...]] = [
        ("upload", cold.deployment.directory / "photos", "--user", str(USER)),
        ("insert", manifest, "--yes"),
        ("work", "--drain"),
        ("audit", *audit, "--fail-on", "class_drift,missing_original,size_mismatch"),
        ("repair", "--apply", *audit),
    ]
    for command in commands:
        cold.run(*command)
        cold.assert_kept(f"imgctl {command[0]}")


def _run_readers(cold: Cold) -> None:
    """Return the look-ups; `get` cannot read an archived original."""
    one, got = str(cold.rows[0].id), cold.deployment.directory / "got"
    for command in (("ls",), ("show", one), ("url", one), ("init",)):
        cold.run(*command)
        cold.assert_kept(f"imgctl {command[0]}")
    cold.run("get", one, "--out", got, code=3)
    cold.assert_kept("imgctl get")
