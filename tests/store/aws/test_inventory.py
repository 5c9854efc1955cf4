"""S3 Inventory reports: read in any order of files, checksums verified, errors with file names."""

import csv
import gzip
import hashlib
import io
import json
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_plus

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import orc, parquet

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreError, UsageError
from imgctl.store.aws.inventory import open_inventory

TAKEN = datetime(2026, 11, 20, tzinfo=UTC)
SCHEMA = "Bucket, Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, StorageClass"
STORE = StoreSettings(url="s3://photos/archive")
# The field names of manifests (S3 User Guide, Locating your inventory list).
SCHEMAS = {
    "Parquet": "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); "
    "optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; "
    "optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary storage_class (UTF8);}",
    "ORC": "struct<bucket:string,key:string,is_latest:boolean,is_delete_marker:boolean,size:bigint,"
    "last_modified_date:timestamp,storage_class:string>",
}
WRITERS = {"Parquet": parquet.write_table, "ORC": orc.write_table}
MOMENT = datetime(2026, 11, 1, 10, tzinfo=UTC)


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
    return write_manifest(directory, listed, kind="CSV", schema=SCHEMA, bucket=bucket, taken=taken)


def write_manifest(
    directory: Path,
    files: Sequence[dict[str, object]],
    *,
    kind: str,
    schema: str,
    bucket: str = "photos",
    taken: datetime = TAKEN,
) -> Path:
    """The manifest.json of these data files."""
    manifest = {
        "sourceBucket": bucket,
        "creationTimestamp": str(int(taken.timestamp() * 1000)),
        "fileFormat": kind,
        "fileSchema": schema,
        "files": files,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory / "manifest.json"


def write_columnar(directory: Path, kind: str, files: Sequence[pa.Table], *, schema: str = "") -> Path:
    """A report in Parquet or ORC as S3 writes it, and the manifest beside its files."""
    listed: list[dict[str, object]] = []
    for number, table in enumerate(files):
        path = directory / f"{number}.{kind.lower()}"
        WRITERS[kind](table, path)
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        key = f"reports/photos/daily/data/{path.name}"
        listed.append({"key": key, "size": path.stat().st_size, "MD5checksum": md5})
    return write_manifest(directory, listed, kind=kind, schema=schema or SCHEMAS[kind])


def table_of(rows: Sequence[tuple[str, int | None, str | None]], *, latest: bool = True) -> pa.Table:
    """The rows of a data file: keys, sizes and classes; those that are not the latest are delete markers too."""
    keys, sizes, classes = zip(*rows, strict=True)
    return pa.table(
        {
            "bucket": ["photos"] * len(rows),
            "key": keys,
            "is_latest": [latest] * len(rows),
            "is_delete_marker": [not latest] * len(rows),
            "size": pa.array(sizes, pa.int64()),
            "last_modified_date": pa.array([MOMENT] * len(rows), pa.timestamp("ms", "UTC")),
            "storage_class": pa.array(classes, pa.string()),
        }
    )


def test_a_report_is_listed_in_byte_order_below_the_stores_prefix(tmp_path: Path) -> None:
    manifest = write_report(
        tmp_path,
        [
            [("archive/b c.jpg", 2, "GLACIER"), ("other/x", 9, "STANDARD")],
            [("archive/é", 3, ""), ("archive/a", 1, "STANDARD")],
        ],
    )
    report = open_inventory(str(manifest), STORE, directory=tmp_path)
    pages = list(report.pages("", ""))
    part = list(report.pages("a", "b c.jpg"))

    assert [page.keys for page in pages] == [("a", "b c.jpg", "é")]
    assert pages[0].sizes == (1, 2, 3)
    assert pages[0].classes == ("STANDARD", "GLACIER", "STANDARD")
    assert [page.keys for page in part] == [("b c.jpg",)]
    assert report.taken_at == TAKEN


def test_a_damaged_file_of_a_report_is_named(tmp_path: Path) -> None:
    manifest = write_report(tmp_path, [[("archive/a", 1, "STANDARD")]])
    (tmp_path / "0.csv.gz").write_bytes(gzip.compress(b""))

    with pytest.raises(StoreError, match=r"0\.csv\.gz is damaged"):
        open_inventory(str(manifest), STORE, directory=tmp_path)


def test_a_report_of_another_bucket_is_rejected(tmp_path: Path) -> None:
    manifest = write_report(tmp_path, [], bucket="films")

    with pytest.raises(UsageError, match="films"):
        open_inventory(str(manifest), STORE, directory=tmp_path)


@pytest.mark.parametrize("text", ["{}", "no JSON", "[]", '{"fileFormat": "CSV"}', "[" * 100_000])
def test_an_invalid_manifest_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(UsageError, match="is not a manifest"):
        open_inventory(str(tmp_path / "manifest.json"), STORE, directory=tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("creationTimestamp", 2**70), ("creationTimestamp", math.inf), ("files", ["0.csv.gz"]), ("sourceBucket", None)],
)
def test_a_manifest_with_an_impossible_value_is_rejected(tmp_path: Path, field: str, value: object) -> None:
    manifest = write_report(tmp_path, [])
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {field: value}))

    with pytest.raises(UsageError) as caught:
        open_inventory(str(manifest), STORE, directory=tmp_path)
    assert len(caught.value.line) < 1000


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'"photos","archive/a"\n'),
        gzip.compress(b"x" * 200_000),
        gzip.compress(b"a\rb\n"),
        gzip.compress(b'"photos","archive/a","true","false",' + b"9" * 30 + b',"2026-11-01T10:00:00Z","STANDARD"\n'),
        gzip.compress(b"photos")[:-9],
        gzip.compress(b"photos" * 9)[:10] + b"\xff" * 20,
        b"\xff\xfe",
    ],
    ids=["short", "endless", "return", "huge", "cut off", "damaged", "other"],
)
def test_a_file_of_a_report_that_cannot_be_read_is_named(tmp_path: Path, body: bytes) -> None:
    write_manifest(tmp_path, [{"key": "0.csv.gz", "size": len(body)}], kind="CSV", schema=SCHEMA)
    (tmp_path / "0.csv.gz").write_bytes(body)

    with pytest.raises(UsageError, match=r"0\.csv\.gz cannot be read"):
        open_inventory(str(tmp_path / "manifest.json"), STORE, directory=tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    manifest = write_report(tmp_path, [[("archive/a", 1, "STANDARD")]])
    (tmp_path / "0.csv.gz").unlink()

    with pytest.raises(UsageError, match=r"0\.csv\.gz"):
        open_inventory(str(manifest), STORE, directory=tmp_path)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_columnar_report_is_read_like_one_in_csv(tmp_path: Path, kind: str) -> None:
    # No key is URL-encoded here: `%` and `+` belong to the key.
    plain = [("archive/b c.jpg", 2, "GLACIER"), ("archive/a+b%20c.jpg", 4, "STANDARD"), ("other/x", 9, "STANDARD")]
    manifest = write_columnar(
        tmp_path,
        kind,
        [
            table_of(plain),
            table_of([("archive/é", 3, None)]),
            table_of([("archive/gone", None, None)], latest=False),
        ],
    )
    in_csv = tmp_path / "csv"
    in_csv.mkdir()
    same = write_report(in_csv, [plain, [("archive/é", 3, "")]])

    reports = [open_inventory(str(one), STORE, directory=one.parent) for one in (manifest, same)]
    read, expected = [list(report.pages("", "")) for report in reports]

    assert read == expected
    assert read[0].keys == ("a+b%20c.jpg", "b c.jpg", "é")
    assert read[0].times == (MOMENT,) * 3
    assert reports[0].taken_at == TAKEN


@pytest.mark.parametrize("kind", WRITERS)
def test_a_columnar_report_is_read_completely_in_many_batches(tmp_path: Path, kind: str) -> None:
    count = 25_000
    table = table_of([(f"archive/{number:06}", number, "STANDARD") for number in range(count)])
    manifest = write_columnar(tmp_path, kind, [table])

    report = open_inventory(str(manifest), STORE, directory=tmp_path)
    sizes = [size for page in report.pages("", "") for size in page.sizes]

    assert sizes == list(range(count))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_columnar_report_without_classes_has_none(tmp_path: Path, kind: str) -> None:
    table = table_of([("archive/a", 1, None)]).drop_columns(["storage_class"])
    manifest = write_columnar(tmp_path, kind, [table], schema=SCHEMAS[kind].replace("storage_class", "e_tag"))

    report = open_inventory(str(manifest), STORE, directory=tmp_path)
    pages = list(report.pages("", ""))

    assert (pages[0].keys, pages[0].classes) == (("a",), None)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_columnar_file_that_is_invalid_or_lacks_sizes_is_named(tmp_path: Path, kind: str) -> None:
    manifest = write_columnar(tmp_path, kind, [table_of([("archive/a", 1, None)]).drop_columns(["size"])])
    name = f"0.{kind.lower()}"

    with pytest.raises(UsageError, match=name) as sizeless:
        open_inventory(str(manifest), STORE, directory=tmp_path)
    (again := tmp_path / "again").mkdir()
    (tmp_path / name).write_bytes(b"neither")
    write_manifest(tmp_path, [{"key": name, "size": 7}], kind=kind, schema=SCHEMAS[kind])
    with pytest.raises(UsageError, match=name):
        open_inventory(str(manifest), STORE, directory=again)

    assert "must have Size" in sizeless.value.hint


@pytest.mark.parametrize("kind", WRITERS)
def test_without_pyarrow_the_error_of_a_columnar_report_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    manifest = write_columnar(tmp_path, kind, [table_of([("archive/a", 1, "STANDARD")])])
    monkeypatch.setitem(sys.modules, f"pyarrow.{kind.lower()}", None)

    with pytest.raises(UsageError, match=rf"0\.{kind.lower()} is {kind}, which needs pyarrow") as rejected:
        open_inventory(str(manifest), STORE, directory=tmp_path)

    assert "imgctl[inventory]" in rejected.value.hint


def test_an_unknown_format_is_rejected(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [], kind="Avro", schema="")

    with pytest.raises(UsageError, match="unknown format of the inventory: 'Avro'"):
        open_inventory(str(manifest), STORE, directory=tmp_path)
