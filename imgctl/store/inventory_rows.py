"""The rows of an S3 Inventory report's files: CSV by itself, Parquet and ORC with pyarrow."""

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast
from urllib.parse import unquote_plus

from imgctl.errors import UsageError

# Rows that are Python objects at one time.
_ROWS = 10_000
# The fields that are read: as CSV names them, and as Parquet and ORC do.
_SNAKE = {"Key": "key", "Size": "size", "LastModifiedDate": "last_modified_date", "StorageClass": "storage_class",
          "IsLatest": "is_latest", "IsDeleteMarker": "is_delete_marker"}  # fmt: skip
_MODULES = {"Parquet": "pyarrow.parquet", "ORC": "pyarrow.orc"}


def columns_of(kind: str, schema: str) -> tuple[str, ...]:
    """The columns of a manifest's fileSchema, by CSV's names; of Parquet and ORC those that are read.

    UsageError for a fileFormat that is none of S3's.
    """
    if kind == "CSV":
        return tuple(part.strip() for part in schema.split(","))
    if kind not in _MODULES:
        raise UsageError(f"the inventory's format {kind!r} is none of S3's", hint="CSV, Parquet and ORC are")
    return tuple(ours for ours, theirs in _SNAKE.items() if re.search(rf"\b{theirs}\b", schema))


def rows_of(body: bytes, *, kind: str, columns: Sequence[str], name: str) -> Iterator[Mapping[str, object]]:
    """A data file's rows, their fields by CSV's names; UsageError, which names the file, where pyarrow is lacking."""
    return _csv_rows(body, columns) if kind == "CSV" else _arrow_rows(body, kind, name)


def _csv_rows(body: bytes, columns: Sequence[str]) -> Iterator[Mapping[str, object]]:
    text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    for row in csv.reader(io.StringIO(text.decode())):
        named: dict[str, object] = dict(zip(columns, row, strict=False))
        # Keys are URL-encoded in CSV and in no other format (S3 User Guide, Amazon S3 Inventory list).
        yield named | {"Key": unquote_plus(str(named.get("Key", "")))}


class _Batch(Protocol):
    """What is used of pyarrow's RecordBatch."""

    num_rows: int

    def slice(self, offset: int, length: int) -> "_Batch": ...

    def to_pylist(self) -> list[dict[str, object]]: ...


class _Schema(Protocol):
    """What is used of pyarrow's Schema."""

    names: list[str]


class _ParquetFile(Protocol):
    """What is used of pyarrow's ParquetFile."""

    schema_arrow: _Schema

    def iter_batches(self, batch_size: int, *, columns: list[str]) -> Iterable[_Batch]: ...


class _OrcFile(Protocol):
    """What is used of pyarrow's ORCFile."""

    schema: _Schema
    nstripes: int

    def read_stripe(self, n: int, columns: list[str]) -> _Batch: ...


class _Reader(Protocol):
    """What is used of the modules pyarrow.parquet and pyarrow.orc."""

    def ParquetFile(self, source: io.BytesIO) -> _ParquetFile: ...  # noqa: N802 (pyarrow's name)

    def ORCFile(self, source: io.BytesIO) -> _OrcFile: ...  # noqa: N802 (pyarrow's name)


def _arrow_rows(body: bytes, kind: str, name: str) -> Iterator[Mapping[str, object]]:
    try:
        reader = cast("_Reader", import_module(_MODULES[kind]))
    except ImportError:
        hint = "pip install 'imgctl[inventory]', or let S3 write CSV"
        raise UsageError(f"{name} is {kind}, which needs pyarrow", hint=hint) from None
    source = io.BytesIO(body)
    batches = _parquet(reader.ParquetFile(source)) if kind == "Parquet" else _orc(reader.ORCFile(source))
    for batch in batches:
        for at in range(0, batch.num_rows, _ROWS):
            for row in batch.slice(at, _ROWS).to_pylist():
                yield {ours: row.get(theirs) for ours, theirs in _SNAKE.items()}


def _parquet(file: _ParquetFile) -> Iterable[_Batch]:
    return file.iter_batches(_ROWS, columns=_known(file.schema_arrow))


def _orc(file: _OrcFile) -> Iterator[_Batch]:
    for number in range(file.nstripes):
        yield file.read_stripe(number, _known(file.schema))


def _known(schema: _Schema) -> list[str]:
    return [name for name in schema.names if name in _SNAKE.values()]
