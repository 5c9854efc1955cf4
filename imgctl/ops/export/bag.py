"""The tag files of a bag (BagIt 1.0, RFC 8493), and the metadata of its images.

Written here, and validated with the Library of Congress's `bagit` in the tests: that library bags a directory in place,
by moving its files and reading each again, holds every entry in memory, and supports neither ZIP files nor buckets.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from typing import TypeVar
from uuid import UUID

from imgctl import __version__
from imgctl.model import Image, Variant
from imgctl.ops.common.csv_cells import guarded
from imgctl.ops.common.lookup import plain
from imgctl.ops.export.sinks import BAGIT, Member, Sink, Written
from imgctl.ops.export.state import Exported, State
from imgctl.pricing.lines import Json
from imgctl.units import count_of

Item = TypeVar("Item")

METADATA_JSON, METADATA_CSV, LEFT_OUT_CSV = "metadata.jsonl", "metadata.csv", "left-out.csv"
MANIFEST, TAG_MANIFEST, INFO = "manifest-sha256.txt", "tagmanifest-sha256.txt", "bag-info.txt"
_DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_TEXT = "text/plain; charset=utf-8"
# The columns about a picture and its owner; the other columns are internal to imgctl.
_COLUMNS = (
    *("id", "user_id", "name", "caption", "taken_at", "uploaded_at", "width", "height"),
    *("bytes", "content_type", "sha256", "status"),
)
_FLUSH_BYTES = 2**16


def record_of(image: Image) -> dict[str, Json]:
    """Return the metadata of an image."""
    return {name: plain(getattr(image, name)) for name in _COLUMNS}


class Bag:
    """Writes the tag files; the last one that `finish` writes makes the bag valid."""

    def __init__(self, sink: Sink, state: State, *, user: UUID, variants: tuple[Variant, ...]) -> None:
        self._sink = sink
        self._state = state
        self._user = user
        self._variants = variants
        self._tags: list[Member] = []
        self._at = datetime.now(UTC)

    def finish(self) -> None:
        """Write the metadata, the manifests, and the declaration last."""
        state = self._state
        self._put(METADATA_JSON, _lines(state.images(), self._json), "application/jsonl")
        self._put(METADATA_CSV, self._table(state.images()), "text/csv; charset=utf-8")
        lacks = state.count_left_out()
        if lacks:
            self._put(LEFT_OUT_CSV, self._left_out(), "text/csv; charset=utf-8")
        elif self._sink.removes:
            # Of a run that was killed just before its bag was whole.
            self._sink.remove(LEFT_OUT_CSV)
        self._put(MANIFEST, _lines(state.members(), _manifest_line), _TEXT)
        self._put(INFO, [self._info(lacks)], _TEXT)
        # A manifest does not list itself; the declaration is the same in every bag, and is written after all other files.
        declared = Member(path=BAGIT, written=Written(sha256=sha256(_DECLARATION).digest(), size=0), at=self._at)
        self._put(TAG_MANIFEST, _lines([*self._tags, declared], _manifest_line), _TEXT)
        self._put(BAGIT, [_DECLARATION], _TEXT)
        self._sink.finish(chain(state.members(), self._tags))

    def _put(self, path: str, pieces: Iterable[bytes], content_type: str) -> None:
        written = self._sink.put(path, pieces, content_type=content_type, at=self._at, over=True)
        self._tags.append(Member(path=path, written=written, at=self._at))

    def _info(self, lacks: int) -> bytes:
        count, size = self._state.totals()
        lines = [
            f"Bag-Software-Agent: imgctl {__version__}",
            f"Bagging-Date: {self._at:%Y-%m-%d}",
            f"External-Identifier: {self._user}",
            f"Payload-Oxum: {size}.{count}",
        ]
        if lacks:
            lines.append(f"Internal-Sender-Description: {count_of(lacks, 'file')} left out, see {LEFT_OUT_CSV}")
        return "".join(f"{line}\n" for line in lines).encode()

    def _json(self, one: Exported) -> str:
        return json.dumps(self._record(one), ensure_ascii=False) + "\n"

    def _record(self, one: Exported) -> dict[str, Json]:
        variants: dict[str, Json] = {role: one.paths.get(role) for role in self._variants}
        return {"path": one.paths["original"], **one.record, **variants}

    def _table(self, images: Iterator[Exported]) -> Iterator[bytes]:
        names = ("path", *_COLUMNS, *self._variants)
        return _csv(names, (self._record(one) for one in images))

    def _left_out(self) -> Iterator[bytes]:
        files = self._state.left_out()
        names = (*_COLUMNS, "role", "why")
        return _csv(names, ({**one.record, "role": one.role, "why": one.why} for one in files))


def _manifest_line(member: Member) -> str:
    return f"{member.written.sha256.hex()}  {member.path}\n"


def _lines(items: Iterable[Item], line: Callable[[Item], str]) -> Iterator[bytes]:
    held: list[str] = []
    size = 0
    for one in items:
        held.append(line(one))
        size += len(held[-1])
        if size > _FLUSH_BYTES:
            yield "".join(held).encode(errors="backslashreplace")
            held, size = [], 0
    yield "".join(held).encode(errors="backslashreplace")


def _csv(names: tuple[str, ...], records: Iterable[dict[str, Json]]) -> Iterator[bytes]:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, names, lineterminator="\n")

    def line(record: dict[str, Json]) -> str:
        writer.writerow({name: guarded(value) for name, value in record.items()})
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    writer.writeheader()
    header = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    yield header.encode()
    yield from _lines(records, line)
