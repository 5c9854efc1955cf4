"""Files of lists and manifests are chosen like those of a walk."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from imgctl.errors import UsageError
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.options import Selection
from tests.ops.upload.trees import NAMES, OTHER, TAKEN, USER, every, fates, left, planted, taken


def listed(root: Path, name: str, data: bytes) -> Selection:
    """Return a selection with a list of this content."""
    (root / name).write_bytes(data)
    return Selection(files_from=str(root / name), user_id=USER)


@pytest.mark.parametrize(
    "write",
    [
        lambda names: b"".join(name + b"\n" for name in names if b"\n" not in name and b"\r" not in name),
        lambda names: b"".join(name + b"\0" for name in names),
        b"\0".join,
        lambda names: b"\xef\xbb\xbf" + b"\r\n".join(name for name in names if b"\n" not in name and b"\r" not in name),
    ],
    ids=["lines", "nul-ended", "nul-separated", "windows"],
)
def test_a_list_may_contain_any_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[list[bytes]], bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(os.fsdecode(name)).write_bytes(b"x")
    data = write(NAMES)

    found = {os.fsencode(one.path) for one in taken(listed(tmp_path, "list.txt", data))}

    named = NAMES if b"\0" in data else [name for name in NAMES if b"\n" not in name and b"\r" not in name]
    assert found == set(named)


def test_a_list_is_read_from_the_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(tmp_path, ["a.jpg", "b.jpg"])
    listing = tmp_path.parent / "piped"
    listing.write_bytes(f"{tmp_path}/a.jpg\n\n{tmp_path}/b.jpg".encode())
    with listing.open() as piped:
        monkeypatch.setattr(sys, "stdin", piped)

        assert fates(Selection(files_from="-", user_id=USER), tmp_path) == {"a.jpg": TAKEN, "b.jpg": TAKEN}


def test_a_standard_input_that_is_closed_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(UsageError, match="is closed"):
        list(chosen(Selection(files_from="-", user_id=USER), Sources()))


def test_files_of_a_list_are_chosen_like_those_of_a_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    planted(tmp_path, ["a.jpg", "a.png", "x/b.jpg", "x/c/d.jpg", ".e.jpg", "@eaDir/f.jpg", "raw/g.jpg", "x/c/.h"])
    Path("link").symlink_to("a.jpg")
    lines = b"./a.jpg\na.png\nx\n.e.jpg\n@eaDir/f.jpg\n@eaDir\nraw/g.jpg\nlink\nmissing\n"
    (tmp_path.parent / "list").write_bytes(lines)

    selection = Selection(files_from="../list", user_id=USER, include=("*.jpg",), exclude=("raw/", "x/c/**"))

    assert fates(selection, tmp_path) == {
        "a.jpg": TAKEN,
        "a.png": "filtered",
        "x/b.jpg": TAKEN,
        "x/c": "filtered",
        ".e.jpg": "junk",
        "@eaDir/f.jpg": "junk",
        "@eaDir": "junk",
        "raw/g.jpg": "filtered",
        "link": "link",
        "missing": "not_found",
    }


def test_a_file_that_is_not_a_list_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="65,536 bytes"):
        every(listed(tmp_path, "list.txt", b"x" * 200_000))


def manifest(root: Path, name: str, text: str, **changes: object) -> Selection:
    """Return a selection with a manifest of this content."""
    (root / name).write_text(text)
    return replace(Selection(manifest=str(root / name)), **changes)  # type: ignore[arg-type]


def test_a_manifest_sets_owner_date_and_description(tmp_path: Path) -> None:
    planted(tmp_path, ["a b.jpg", "x/c.jpg"])
    text = (
        "path,user_id,caption,uploaded_at,album\n"
        f'a b.jpg,{USER},"On the beach,\nat last",2023-07-14T15:30:12.3456+02:00,1\n'
        f"x/c.jpg,{OTHER},,2023-07-14,2\n"
    )

    first, second = taken(manifest(tmp_path, "m.csv", text))

    assert (first.path, first.user_id) == (str(tmp_path / "a b.jpg"), USER)
    assert first.caption == "On the beach,\nat last"
    assert first.uploaded_at == datetime(2023, 7, 14, 13, 30, 12, 345000, tzinfo=UTC)
    assert (second.user_id, second.caption) == (OTHER, None)
    assert second.uploaded_at == datetime(2023, 7, 14, tzinfo=UTC)


def test_a_manifest_without_owners_needs_one(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg"])
    text = '{"path": "a.jpg"}\n'

    assert [one.user_id for one in taken(manifest(tmp_path, "m.jsonl", text, user_id=OTHER))] == [OTHER]
    assert [reason for *_, reason, _ in left(manifest(tmp_path, "m.jsonl", text))] == [Reason.BAD_LINE]
    with pytest.raises(UsageError, match="no column user_id"):
        chosen(manifest(tmp_path, "m.csv", "path\na.jpg\n"), Sources())


def test_a_manifest_line_overrides_the_general_owner(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg", "b.jpg"])
    text = f"path,user_id\na.jpg,{OTHER}\nb.jpg,\n"

    found = taken(manifest(tmp_path, "m.csv", text, user_id=USER))

    assert [one.user_id for one in found] == [OTHER, USER]


def test_bad_manifest_lines_are_reported_by_number_and_the_rest_is_read(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg", "d/b.jpg"])
    lines = [
        "path,user_id,uploaded_at",
        f"a.jpg,{USER},",
        "a.jpg,nobody,",
        f"a.jpg,{USER},yesterday",
        f"a.jpg,{USER},0001-01-01T00:00+01:00",
        f"a.jpg,{USER}",
        f",{USER},",
        f"d,{USER},",
        f"d/b.jpg,{USER},9999-12-31",
    ]

    selection = manifest(tmp_path, "m.csv", "\n".join(lines))

    bad = {path.rpartition(":")[2]: detail for path, _, reason, detail in left(selection) if reason is Reason.BAD_LINE}
    assert set(bad) == {"3", "4", "5", "6", "7", "8"}
    assert "invalid UUID: 'nobody'" in bad["3"]
    assert "invalid time: 'yesterday'" in bad["4"]
    assert "is a directory" in bad["8"]
    assert all(path.startswith(str(tmp_path / "m.csv:")) for path, *_ in left(selection))
    assert len(taken(selection)) == 2


def test_an_invalid_path_in_a_manifest_is_reported(tmp_path: Path) -> None:
    text = '{"path": "a\\u0000b"}\n{"path": "\\ud800"}\n{"path": "missing"}\n{"path": "\\udcff"}\n'
    text += '{"path": "%s"}\n' % ("x" * 5000)
    (tmp_path / "\udcff").write_bytes(b"x")

    found = chosen(manifest(tmp_path, "m", text, user_id=USER), Sources())
    reasons = [one.reason for one in found if isinstance(one, FileOutcome)]

    # U+D800 alone stands for no bytes, so it is invalid; U+DCFF stands for the byte 0xff.
    assert reasons == [Reason.BAD_LINE, Reason.BAD_LINE, Reason.NOT_FOUND, Reason.BAD_LINE]


def test_pipes_and_sockets_in_lists_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        (tmp_path / "m").write_text("path\npipe\nsocket\n")

        selections = [Selection(manifest="m", user_id=USER), listed(tmp_path, "l", b"pipe\nsocket\n")]

        for selection in selections:
            assert fates(selection, tmp_path) == {"pipe": "not_a_file", "socket": "not_a_file"}


Form = Literal["NFC", "NFD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD")
DIRECTORY, FILE = "Fe\u0301te a\u0300 Malmo\u0308", "\u1112\u1161\u11ab.jpg"


@pytest.mark.parametrize("kind", ["list", "manifest"])
@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("directory", FORMS)
@pytest.mark.parametrize("file", FORMS)
def test_a_name_is_found_with_accents_composed_or_decomposed(
    tmp_path: Path, kind: str, written: Form, directory: Form, file: Form
) -> None:
    there = tmp_path / normalize(directory, DIRECTORY) / normalize(file, FILE)
    there.parent.mkdir()
    there.write_bytes(b"x")
    name = normalize(written, f"{DIRECTORY}/{FILE}")
    selection = (
        manifest(tmp_path, "m.csv", f"path,user_id\n{name},{USER}\n")
        if kind == "manifest"
        else listed(tmp_path, "list.txt", f"{tmp_path}/{name}\n".encode())
    )

    assert [one.path for one in taken(selection)] == [str(there)]


@pytest.mark.parametrize("written", FORMS)
def test_a_name_in_the_exact_form_is_preferred(tmp_path: Path, written: Form) -> None:
    for form in FORMS:
        (tmp_path / normalize(form, FILE)).write_bytes(form.encode())

    (found,) = taken(manifest(tmp_path, "m.csv", f"path,user_id\n{normalize(written, FILE)},{USER}\n"))

    assert Path(found.path).read_text() == written
