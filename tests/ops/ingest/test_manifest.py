"""Manifests: rows, bad lines, and how each is reported."""

import json
from collections.abc import Iterator
from io import BytesIO

import pytest

from imgctl.errors import UsageError
from imgctl.ops.ingest.manifest import LONGEST_LINE, BadLine, Row, owner_and_date, rows
from imgctl.users import UUIDS_ONLY

REQUIRED, OPTIONAL = frozenset({"key", "user_id"}), frozenset({"caption"})


def read(data: bytes) -> Iterator[tuple[int, Row | BadLine]]:
    return rows(BytesIO(data), required=REQUIRED, optional=OPTIONAL)


def details(data: bytes) -> list[tuple[int, str]]:
    return [(number, found.detail if isinstance(found, BadLine) else "") for number, found in read(data)]


def test_csv_and_json_lines_read_alike() -> None:
    csv = 'user_id,key,caption,other\nu1,a.jpg,"a, “b”\nc",x\n\nu2,b.jpg,,y\n'.encode()
    lines = [
        json.dumps({"user_id": "u1", "key": "a.jpg", "caption": "a, “b”\nc", "other": [1]}),
        "",
        json.dumps({"user_id": "u2", "key": "b.jpg", "caption": None}),
    ]

    from_csv = [row for _, row in read(csv)]
    from_json = [row for _, row in read("\n".join(lines).encode())]

    assert from_csv == from_json
    assert from_csv[0] == {"user_id": "u1", "key": "a.jpg", "caption": "a, “b”\nc"}
    assert from_csv[1] == {"user_id": "u2", "key": "b.jpg"}


def test_rows_are_numbered_by_the_line_they_begin_on() -> None:
    assert [number for number, _ in read(b'key,user_id\na,1\n"b\nb",2\n\nc,3')] == [2, 3, 6]
    assert [number for number, _ in read(b'\n{"key":"a","user_id":"1"}\n\n{"key":"b","user_id":"2"}')] == [2, 4]


def test_texts_of_csv_lose_the_mark_that_keeps_a_spreadsheet_from_calculating() -> None:
    csv = b"user_id,key,caption\nu1,'=a.jpg,'=1+1\nu1,b.jpg,''@x\nu1,c.jpg,'tis\n"

    assert [(row["key"], row["caption"]) for _, row in read(csv) if isinstance(row, dict)] == [
        ("'=a.jpg", "=1+1"),
        ("b.jpg", "'@x"),
        ("c.jpg", "'tis"),
    ]
    (json_row,) = read(b'{"key": "a", "user_id": "u", "caption": "\'=1"}')
    assert json_row == (1, {"key": "a", "user_id": "u", "caption": "'=1"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_file_saved_by_a_spreadsheet_is_read(delimiter: str) -> None:
    data = "\ufeff" + delimiter.join(["key", "user_id"]) + "\r\n" + delimiter.join(["é.jpg", "1"]) + "\r\n"

    assert list(read(data.encode())) == [(2, {"key": "é.jpg", "user_id": "1"})]


def test_an_empty_manifest_has_no_rows() -> None:
    assert list(read(b"")) == []
    assert list(read(b"\n \n")) == []


def test_bad_lines_are_reported_and_the_others_are_read() -> None:
    data = b'key,user_id\na,1\nb\nc,\n"d"x,2\n\xff,3\ne,4\n"open,5\n'

    found = details(data)

    assert [number for number, _ in found] == [2, 3, 4, 5, 6, 7, 8]
    assert [number for number, detail in found if not detail] == [2, 7]
    assert "1 field where the header has 2" in found[1][1]
    assert "user_id is missing" in found[2][1]
    assert "key is not UTF-8" in found[4][1]


def test_bad_json_lines_are_reported_and_the_others_are_read() -> None:
    data = b'{"key":"a","user_id":"1"}\nnot json\n[]\n{"key":"b"}\n{"key":{},"user_id":"1"}\n{"key":"c","user_id":7}\n'
    deep = b"[" * 100_000 + b"\n"

    found = details(data + b'{"key":"\xff"}\n' + deep)

    assert [number for number, detail in found if not detail] == [1, 6]
    assert [number for number, detail in found if detail] == [2, 3, 4, 5, 7, 8]


def test_the_detail_of_a_bad_line_is_short_however_long_the_line() -> None:
    bad = owner_and_date({"uploaded_at": "9" * 100_000}, UUIDS_ONLY)

    assert isinstance(bad, BadLine)
    assert bad.detail.startswith("uploaded_at: invalid time: '999") and len(bad.detail) < 600


@pytest.mark.parametrize("opening", [b"key,user_id\na,1\n", b'{"key":"a","user_id":"1"}\n'])
def test_an_endless_line_is_one_bad_line(opening: bytes) -> None:
    endless = b"x" * (3 * LONGEST_LINE) + b"\n"
    last = opening.splitlines()[-1]

    found = details(opening + endless + last)

    first = opening.count(b"\n")
    assert [number for number, detail in found if not detail] == [first, first + 2]
    assert [number for number, detail in found if detail] == [first + 1]


def test_an_unclosed_quote_does_not_swallow_the_file() -> None:
    data = b'key,user_id\n"open,1\n' + b"b,2\n" * 100_000

    found = details(data)

    assert found[0][0] == 2
    assert "up to line" in found[0][1]
    assert len([detail for _, detail in found if not detail]) > 50_000


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"key,caption\n", "no column user_id"),
        (b"key,user_id,key\n", "key twice"),
        (b"key,user_id,captoin\n", "'captoin' instead of caption"),
        (b"\xff\xfek\0e\0y\0", "UTF-16"),
        (b"key" * 50_000 + b"\n", "invalid CSV"),
    ],
)
def test_an_invalid_header_is_refused(header: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        list(read(header))
