"""S3 Inventory reports: read in any order of their files, checked, and refused by name."""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from imgctl.config.settings import StoreSettings
from imgctl.errors import StoreError, UsageError
from imgctl.store.inventory import open_inventory

TAKEN = datetime(2026, 11, 20, tzinfo=UTC)
SCHEMA = "Bucket, Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, StorageClass"
STORE = StoreSettings(url="s3://photos/archive")


def write_report(
    directory: Path, files: Sequence[Sequence[tuple[str, int, str]]], *, bucket: str = "photos", taken: datetime = TAKEN
) -> Path:
    """A report as S3 writes it: gzipped CSV files of keys, sizes and classes, and the manifest beside them."""
    listed = []
    for number, rows in enumerate(files):
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        for key, size, storage_class in rows:
            writer.writerow(
                [bucket, quote_plus(key, safe="/"), "true", "false", size, "2026-11-01T10:00:00.000Z", storage_class]
            )
        body = gzip.compress(text.getvalue().encode())
        (directory / f"{number}.csv.gz").write_bytes(body)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        listed.append({"key": f"reports/{bucket}/daily/data/{number}.csv.gz", "size": len(body), "MD5checksum": md5})
    manifest = {
        "sourceBucket": bucket,
        "creationTimestamp": str(int(taken.timestamp() * 1000)),
        "fileFormat": "CSV",
        "fileSchema": SCHEMA,
        "files": listed,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory / "manifest.json"


def test_a_report_is_listed_in_byte_order_below_the_stores_prefix(tmp_path: Path) -> None:
    manifest = write_report(
        tmp_path,
        [
            [("archive/b c.jpg", 2, "GLACIER"), ("other/x", 9, "STANDARD")],
            [("archive/é", 3, ""), ("archive/a", 1, "STANDARD")],
        ],
    )
    report = open_inventory(str(manifest), STORE)
    pages = list(report.pages("", ""))
    part = list(report.pages("a", "b c.jpg"))
    report.close()

    assert [page.keys for page in pages] == [("a", "b c.jpg", "é")]
    assert pages[0].sizes == (1, 2, 3)
    assert pages[0].classes == ("STANDARD", "GLACIER", "STANDARD")
    assert [page.keys for page in part] == [("b c.jpg",)]
    assert report.taken_at == TAKEN


def test_a_damaged_file_of_a_report_is_named(tmp_path: Path) -> None:
    manifest = write_report(tmp_path, [[("archive/a", 1, "STANDARD")]])
    (tmp_path / "0.csv.gz").write_bytes(gzip.compress(b""))

    with pytest.raises(StoreError, match=r"0\.csv\.gz is damaged"):
        open_inventory(str(manifest), STORE)


def test_a_report_of_another_bucket_is_refused(tmp_path: Path) -> None:
    manifest = write_report(tmp_path, [], bucket="films")

    with pytest.raises(UsageError, match="films"):
        open_inventory(str(manifest), STORE)


@pytest.mark.parametrize("text", ["{}", "no JSON", "[]", '{"fileFormat": "CSV"}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(UsageError, match="is no manifest"):
        open_inventory(str(tmp_path / "manifest.json"), STORE)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    manifest = write_report(tmp_path, [[("archive/a", 1, "STANDARD")]])
    (tmp_path / "0.csv.gz").unlink()

    with pytest.raises(UsageError, match=r"0\.csv\.gz"):
        open_inventory(str(manifest), STORE)
