"""An S3 Inventory report as a listing: its files (CSV, or Parquet and ORC by pyarrow) are unordered, so sorted on disk."""

import csv
import gzip
import hashlib
import io
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote_plus

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreError, UsageError
from imgctl.jsontext import parse_json
from imgctl.store.blobs.address import bucket_and_prefix
from imgctl.store.blobs.listing_pages import PAGE_KEYS, Page

_HINT = "use the manifest.json of an S3 Inventory report, a path or s3://BUCKET/KEY"
_RANGE = "SELECT key, size, modified, class FROM blobs WHERE key > ?1 AND (?2 = '' OR key <= ?2) ORDER BY key"
_TABLE = "CREATE TABLE blobs (key TEXT PRIMARY KEY, size INTEGER, modified REAL, class TEXT) WITHOUT ROWID, STRICT"
# The number of rows that are Python objects at one time.
_ROWS = 10_000
# The fields to read: their names in CSV, and in Parquet and ORC.
_SNAKE = {"Key": "key", "Size": "size", "LastModifiedDate": "last_modified_date", "StorageClass": "storage_class",
          "IsLatest": "is_latest", "IsDeleteMarker": "is_delete_marker"}  # fmt: skip
_MODULES = {"Parquet": "pyarrow.parquet", "ORC": "pyarrow.orc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A report's manifest.json: the time of the listing, its bucket, files and columns."""

    taken_at: datetime
    bucket: str
    format: str
    columns: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """Each file's key and the MD5 of its bytes in hex, empty if the manifest has none."""


class Inventory:
    """A report's blobs below a store's prefix, in a file below `directory`; `classes`: whether it has storage classes.

    `read` reads one file of the report completely, by its name in the manifest.
    """

    def __init__(self, read: Callable[[str], bytes], manifest: Manifest, *, prefix: str, directory: Path) -> None:
        self._file = directory / "blobs.db"
        self.taken_at = manifest.taken_at
        self.classes = "StorageClass" in manifest.columns
        self._fill(read, manifest, prefix)

    def pages(self, after: str, until: str) -> Iterator[Page]:
        """The blobs with `after` < key <= `until` in byte order of their keys."""
        with closing(sqlite3.connect(self._file, check_same_thread=False)) as connection:
            rows = connection.execute(_RANGE, (after, until))
            while found := rows.fetchmany(PAGE_KEYS):
                keys, sizes, times, classes = zip(*found, strict=True)
                moments = tuple([datetime.fromtimestamp(one, UTC) for one in times])
                yield Page(keys, sizes, moments, classes if self.classes else None)

    def _fill(self, read: Callable[[str], bytes], manifest: Manifest, prefix: str) -> None:
        connection = sqlite3.connect(self._file, isolation_level=None)
        with closing(connection):
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE)
            connection.execute("BEGIN")
            for name, md5 in manifest.files:
                body = read(name)
                if md5 and hashlib.md5(body, usedforsecurity=False).hexdigest() != md5:
                    raise StoreError(f"the inventory's file {name} is damaged", hint="fetch it again")
                rows = _rows_of(body, kind=manifest.format, columns=manifest.columns, name=name)
                _insert(connection, _blobs(rows, prefix), name)
            connection.execute("COMMIT")


def open_inventory(where: str, settings: StoreSettings, *, directory: Path) -> Inventory:
    """Open a manifest's report, sorted into a file below `directory`.

    UsageError if it is not a manifest, or is for another bucket.
    """
    read, name = _report(where, settings)
    manifest = read_manifest(read(name), where)
    scheme, _, rest = settings.url.partition("://")
    if scheme != "s3":
        raise UsageError("the store is a directory, and an inventory lists a bucket", hint="leave --inventory out")
    bucket, prefix = bucket_and_prefix(rest)
    if manifest.bucket != bucket:
        raise UsageError(f"{where} is an inventory of bucket {manifest.bucket}, not of {bucket}", hint="check --store")
    return Inventory(read, manifest, prefix=prefix, directory=directory)


def read_manifest(body: bytes, where: str) -> Manifest:
    """A manifest.json (S3 User Guide, Amazon S3 Inventory manifest); UsageError for anything else."""
    try:
        read = parse_json(body)
        kind = str(read["fileFormat"])
        return Manifest(
            taken_at=datetime.fromtimestamp(int(read["creationTimestamp"]) / 1000, UTC),
            bucket=str(read["sourceBucket"]),
            format=kind,
            columns=_columns_of(kind, str(read["fileSchema"])),
            files=tuple((str(one["key"]), str(one.get("MD5checksum", ""))) for one in read["files"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError) as error:
        raise UsageError(f"{where} is not a manifest of an inventory: {repr(error)[:200]}", hint=_HINT) from None


def _blobs(rows: Iterable[Mapping[str, object]], prefix: str) -> Iterator[tuple[str, int, float, str]]:
    for row in rows:
        key = str(row["Key"])
        gone = _is(row.get("IsDeleteMarker"), "true") or _is(row.get("IsLatest"), "false")
        # The prefix itself may be listed as a folder marker: it is not a blob.
        if gone or not key.startswith(prefix) or key == prefix:
            continue
        modified = row.get("LastModifiedDate")
        at = modified if isinstance(modified, datetime) else datetime.fromisoformat(str(modified))
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        yield key[len(prefix) :], int(str(row["Size"])), at.timestamp(), str(row.get("StorageClass") or "STANDARD")


def _is(value: object, text: str) -> bool:
    return str(value).lower() == text


def _insert(connection: sqlite3.Connection, blobs: Iterator[tuple[str, int, float, str]], name: str) -> None:
    try:
        connection.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?)", blobs)
    except (ValueError, LookupError, EOFError, OSError, OverflowError, csv.Error, zlib.error, sqlite3.Error) as error:
        hint = "the report must have Size and LastModifiedDate among its fields"
        raise UsageError(f"the inventory's file {name} cannot be read: {repr(error)[:200]}", hint=hint) from None


def _report(where: str, settings: StoreSettings) -> tuple[Callable[[str], bytes], str]:
    """Return the reader of a report, in the bucket where S3 wrote it or on this machine, and the manifest's name."""
    scheme, separator, rest = where.partition("://")
    if separator and scheme == "s3":
        from imgctl.store.blobs.s3.store import S3Store

        bucket, _, name = rest.partition("/")
        return S3Store(settings, bucket=bucket).get, name
    path = Path(where).expanduser()
    if not path.is_file():
        raise UsageError(f"{where}: no such file", hint=_HINT)
    return partial(_read_near, path), path.name


def _read_near(manifest: Path, name: str) -> bytes:
    """Read a file of a report copied to this machine: beside the manifest, or below one of its parents by its key."""
    for place in (manifest.parent, *manifest.absolute().parents):
        for path in (place / name, place / Path(name).name, place / "data" / Path(name).name):
            if path.is_file():
                return path.read_bytes()
    raise UsageError(f"{name} was not found near {manifest}", hint="copy the report's data files beside it")


def _columns_of(kind: str, schema: str) -> tuple[str, ...]:
    """Return the columns of a manifest's fileSchema, by CSV's names; for Parquet and ORC only those to read.

    UsageError for an unknown fileFormat.
    """
    if kind == "CSV":
        return tuple(part.strip() for part in schema.split(","))
    if kind not in _MODULES:
        raise UsageError(f"unknown format of the inventory: {kind[:40]!r}", hint="S3 writes CSV, Parquet and ORC")
    return tuple(ours for ours, theirs in _SNAKE.items() if re.search(rf"\b{theirs}\b", schema))


def _rows_of(body: bytes, *, kind: str, columns: Sequence[str], name: str) -> Iterator[Mapping[str, object]]:
    """Yield a data file's rows, fields by CSV's names; UsageError with the file's name if pyarrow is missing."""
    return _csv_rows(body, columns) if kind == "CSV" else _arrow_rows(body, kind, name)


def _csv_rows(body: bytes, columns: Sequence[str]) -> Iterator[Mapping[str, object]]:
    text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    for row in csv.reader(io.StringIO(text.decode())):
        named: dict[str, object] = dict(zip(columns, row, strict=False))
        # Keys are URL-encoded in CSV and in no other format (S3 User Guide, Amazon S3 Inventory list).
        yield named | {"Key": unquote_plus(str(named.get("Key", "")))}


def _arrow_rows(body: bytes, kind: str, name: str) -> Iterator[Mapping[str, object]]:
    try:
        reader = import_module(_MODULES[kind])
    except ImportError:
        hint = "pip install 'imgctl[inventory]', or let S3 write CSV"
        raise UsageError(f"{name} is {kind}, which needs pyarrow", hint=hint) from None
    if kind == "Parquet":
        file = reader.ParquetFile(io.BytesIO(body))
        known = [one for one in file.schema_arrow.names if one in _SNAKE.values()]
        batches = file.iter_batches(_ROWS, columns=known)
    else:
        file = reader.ORCFile(io.BytesIO(body))
        known = [one for one in file.schema.names if one in _SNAKE.values()]
        batches = (file.read_stripe(number, known) for number in range(file.nstripes))
    for batch in batches:
        for at in range(0, batch.num_rows, _ROWS):
            for row in batch.slice(at, _ROWS).to_pylist():
                yield {ours: row.get(theirs) for ours, theirs in _SNAKE.items()}
