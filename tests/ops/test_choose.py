"""Every file of a selection comes once: taken with its owner, or left out by a reason."""

import io
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.errors import UsageError
from imgctl.ops.upload.choose import Selection, chosen
from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason
from imgctl.ops.upload.walk import MOST_OPEN, Found
from tests.ops.test_globs import PATTERN, fits
from tests.ops.trees import OTHER, TAKEN, USER, every, fates, left, planted, taken

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def below(root: Path, **changes: object) -> Selection:
    """The selection of all below the root, changed as told."""
    return replace(Selection(paths=(str(root),), user_id=USER), **changes)  # type: ignore[arg-type]


def test_a_file_comes_with_what_the_system_says_and_its_owner(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg"])
    info = (tmp_path / "a.jpg").stat()

    assert taken(below(tmp_path)) == [
        Found(path=str(tmp_path / "a.jpg"), size=1, mtime_ns=info.st_mtime_ns, inode=info.st_ino, user_id=USER)
    ]


def test_patterns_choose_and_excluded_directories_are_one_outcome(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg", "a.png", "raw/b.jpg", "raw/deep/c.jpg", "x/raw.jpg", "x/d.jpg"])

    assert fates(below(tmp_path, include=("*.jpg",), exclude=("raw", "/x/d.*")), tmp_path) == {
        "a.jpg": TAKEN,
        "a.png": "filtered",
        "raw": "filtered",
        "x/raw.jpg": TAKEN,
        "x/d.jpg": "filtered",
    }


def test_what_a_filter_left_out_says_which(tmp_path: Path) -> None:
    planted(tmp_path, ["a.png", "b.tmp", "x/c"])

    assert [detail for *_, detail in left(below(tmp_path, include=("*.jpg",), exclude=("*.tmp", "x/")))] == [
        "no --include fits",
        "--exclude *.tmp",
        "--exclude x/, with all that is in it",
    ]


def test_sizes_are_chosen_with_both_ends(tmp_path: Path) -> None:
    for size in range(5):
        (tmp_path / str(size)).write_bytes(bytes(size))

    assert fates(below(tmp_path, min_size=1, max_size=3), tmp_path) == {
        "0": "too_small",
        "1": TAKEN,
        "2": TAKEN,
        "3": TAKEN,
        "4": "too_large",
    }


def test_dates_are_chosen_from_the_first_up_to_the_second(tmp_path: Path) -> None:
    planted(tmp_path, "abcd")
    for hour, name in enumerate("abcd"):
        when = (NOON + timedelta(hours=hour)).timestamp()
        os.utime(tmp_path / name, (when, when))

    chosen_dates = below(tmp_path, since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3))

    assert fates(chosen_dates, tmp_path) == {"a": "outside_dates", "b": TAKEN, "c": TAKEN, "d": "outside_dates"}


JUNK = (
    ".DS_Store",
    "._a.jpg",
    "Thumbs.db",
    "desktop.ini",
    "Icon\r",
    ".hidden/a.jpg",
    "@eaDir/a.jpg/SYNO.jpg",
    "#recycle/b",
)


def test_junk_is_left_out_and_a_junk_directory_is_one_outcome(tmp_path: Path) -> None:
    planted(tmp_path, [*JUNK, "a.jpg", "@eaDirs/b", "x/thumbs.DB"])

    found = fates(below(tmp_path), tmp_path)

    junk = {*JUNK[:5], ".hidden", "@eaDir", "#recycle", "x/thumbs.DB"}
    assert found == {"a.jpg": TAKEN, "@eaDirs/b": TAKEN} | dict.fromkeys(junk, "junk")


def test_without_the_junk_filter_every_file_is_taken(tmp_path: Path) -> None:
    planted(tmp_path, JUNK)

    assert fates(below(tmp_path, junk_filter=False), tmp_path) == dict.fromkeys(JUNK, TAKEN)


def test_what_is_named_is_taken_though_hidden_but_not_what_systems_left(tmp_path: Path) -> None:
    planted(tmp_path, [".mine/a.jpg", ".b.jpg", "@eaDir/c.jpg", "Thumbs.db"])
    names = (".mine", ".b.jpg", "@eaDir", "Thumbs.db")

    selection = Selection(paths=tuple(str(tmp_path / name) for name in names), user_id=USER)

    assert fates(selection, tmp_path) == {
        ".mine/a.jpg": TAKEN,
        ".b.jpg": TAKEN,
        "@eaDir": "junk",
        "Thumbs.db": "junk",
    }


def test_an_owner_is_taken_from_the_path(tmp_path: Path) -> None:
    planted(tmp_path, [f"{USER}/a.jpg", f"{OTHER}/2023/b.jpg", "c.jpg"])

    selection = below(tmp_path, user_id=None, user_from="{user}/**")

    assert {Path(one.path).name: one.user_id for one in taken(selection)} == {"a.jpg": USER, "b.jpg": OTHER}
    assert [(fate, reason) for _, fate, reason, _ in left(selection)] == [(Fate.FAILED, Reason.NO_USER)]


def test_links_are_followed_when_asked_for_and_loops_are_found(tmp_path: Path) -> None:
    planted(tmp_path, ["real/a.jpg", "real/deep/b.jpg", "outside/c.jpg"])
    root = tmp_path / "real"
    (root / "file").symlink_to("a.jpg")
    (root / "directory").symlink_to("../outside")
    (root / "deep" / "up").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "dangling").symlink_to("nowhere")

    assert fates(below(root, follow_links=True), root) == {
        "a.jpg": TAKEN,
        "deep/b.jpg": TAKEN,
        "file": TAKEN,
        "directory/c.jpg": TAKEN,
        "deep/up": "loop",
        "self": "loop",
        "dangling": "not_found",
    }
    links = {"file", "directory", "deep/up", "self", "dangling"}
    assert {name for name, fate in fates(below(root), root).items() if fate == "link"} == links


def test_two_directories_that_link_to_each_other_end(tmp_path: Path) -> None:
    planted(tmp_path, ["a/x", "b/y"])
    (tmp_path / "a" / "to-b").symlink_to("../b")
    (tmp_path / "b" / "to-a").symlink_to("../a")

    found = fates(below(tmp_path, follow_links=True), tmp_path)

    assert found["a/to-b/to-a"] == found["b/to-a/to-b"] == "loop"
    assert found["a/to-b/y"] == found["b/to-a/x"] == TAKEN


NAMES = [
    b"with space",
    b"new\nline",
    "emoji 📷.jpg".encode(),
    b"\xff\xfe no utf-8",
    b"n" * 255,
    b"-",
    b"*?[",
    b"a\\b\r",
]


def test_names_of_every_kind_come_back_as_they_are(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")

    found = taken(below(tmp_path, include=("*",), exclude=("none/**",)))

    assert sorted(os.fsencode(os.path.basename(one.path)) for one in found) == sorted(NAMES)  # noqa: PTH119


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Directories `d/d/…` in the current one, with a file in the last; how many there are."""
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + MOST_OPEN
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("a.jpg").write_bytes(b"x")
    os.chdir(tmp_path)
    yield depth
    # From below: what removes whole trees is often recursive.
    for _ in range(depth):
        os.chdir("d")
    Path("a.jpg").unlink()
    for _ in range(depth):
        os.chdir("..")
        Path("d").rmdir()


def test_a_tree_deeper_than_the_recursion_limit_is_walked(deep: int) -> None:
    assert [one.path.count("/") for one in taken(below(Path("d")))] == [deep]


def test_a_walk_that_is_given_up_closes_its_directories(tmp_path: Path) -> None:
    planted(tmp_path, ["a/b/c", "a/b/d"])
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    files = chosen(below(tmp_path))

    next(files)
    files.close()  # type: ignore[attr-defined]

    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


def listed(root: Path, name: str, data: bytes) -> Selection:
    """The selection that a list of this content makes."""
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
def test_a_list_names_files_whatever_they_are_called(
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
    text = f"{tmp_path}/a.jpg\n\n{tmp_path}/b.jpg".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert fates(Selection(files_from="-", user_id=USER), tmp_path) == {"a.jpg": TAKEN, "b.jpg": TAKEN}


def test_what_a_list_names_is_chosen_like_what_a_walk_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_list_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="65,536 bytes"):
        every(listed(tmp_path, "list.txt", b"x" * 200_000))


def manifest(root: Path, name: str, text: str, **changes: object) -> Selection:
    """The selection that a manifest of this content makes."""
    (root / name).write_text(text)
    return replace(Selection(manifest=str(root / name)), **changes)  # type: ignore[arg-type]


def test_a_manifest_says_whose_when_and_what(tmp_path: Path) -> None:
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


def test_a_manifest_of_paths_alone_wants_an_owner(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg"])
    text = '{"path": "a.jpg"}\n'

    assert [one.user_id for one in taken(manifest(tmp_path, "m.jsonl", text, user_id=OTHER))] == [OTHER]
    assert [reason for *_, reason, _ in left(manifest(tmp_path, "m.jsonl", text))] == [Reason.BAD_LINE]
    with pytest.raises(UsageError, match="no column user_id"):
        chosen(manifest(tmp_path, "m.csv", "path\na.jpg\n"))


def test_a_manifest_line_goes_before_the_general_owner(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg", "b.jpg"])
    text = f"path,user_id\na.jpg,{OTHER}\nb.jpg,\n"

    found = taken(manifest(tmp_path, "m.csv", text, user_id=USER))

    assert [one.user_id for one in found] == [OTHER, USER]


def test_bad_manifest_lines_are_named_by_number_and_the_rest_is_read(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg", "d/b.jpg"])
    lines = [
        "path,user_id,uploaded_at",
        f"a.jpg,{USER},",
        "a.jpg,nobody,",
        f"a.jpg,{USER},yesterday",
        f"a.jpg,{USER},1969-12-31",
        f"a.jpg,{USER},0001-01-01T00:00+01:00",
        f"a.jpg,{USER}",
        f",{USER},",
        f"d,{USER},",
        f"d/b.jpg,{USER},9999-12-31",
    ]

    selection = manifest(tmp_path, "m.csv", "\n".join(lines))

    bad = {path.rpartition(":")[2]: detail for path, _, reason, detail in left(selection) if reason is Reason.BAD_LINE}
    assert set(bad) == {"3", "4", "5", "6", "7", "8", "9"}
    assert "'nobody' is no UUID" in bad["3"]
    assert "'yesterday' is no time" in bad["4"]
    assert "before 1970" in bad["5"]
    assert "is a directory" in bad["9"]
    assert all(path.startswith(str(tmp_path / "m.csv:")) for path, *_ in left(selection))
    assert len(taken(selection)) == 2


def test_a_path_in_a_manifest_that_no_system_takes_is_told(tmp_path: Path) -> None:
    text = '{"path": "a\\u0000b"}\n{"path": "\\ud800"}\n{"path": "missing"}\n{"path": "\\udcff"}\n'
    (tmp_path / "\udcff").write_bytes(b"x")

    reasons = [
        one.reason for one in chosen(manifest(tmp_path, "m", text, user_id=USER)) if isinstance(one, FileOutcome)
    ]

    assert reasons == [Reason.BAD_LINE, Reason.NOT_FOUND, Reason.NOT_FOUND]


def test_pipes_and_sockets_in_lists_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        (tmp_path / "m").write_text("path\npipe\nsocket\n")

        selections = [Selection(manifest="m", user_id=USER), listed(tmp_path, "l", b"pipe\nsocket\n")]

        for selection in selections:
            assert fates(selection, tmp_path) == {"pipe": "not_a_file", "socket": "not_a_file"}


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(user_id=USER), "no files are named"),
        (Selection(paths=("a",)), "nobody is said to own"),
        (Selection(paths=("a",), user_id=USER, user_from="{user}"), "both"),
        (Selection(paths=("a",), user_from="user"), "once"),
        (Selection(paths=("a",), user_id=USER, min_size=2, max_size=1), "--min-size"),
        (Selection(paths=("a",), user_id=USER, since=NOON, until=NOON), "--since"),
        (Selection(paths=("a",), user_id=USER, include=("[",)), "never closes"),
        (Selection(paths=("a",), user_id=USER, exclude=("",)), "names nothing"),
        (Selection(paths=("a",), manifest="m"), "names the files itself"),
        (Selection(manifest="/no/such/manifest"), "/no/such/manifest: no such file"),
        (Selection(files_from="/no/such/list", user_id=USER), "/no/such/list: no such file"),
        (Selection(files_from="/", user_id=USER), "is a directory"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused_at_once(selection: Selection, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen(selection)


TREE = st.recursive(
    st.integers(min_value=0, max_value=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "é", ".h", "@eaDir", "a.b", " "]), inner, max_size=4),
    max_leaves=12,
)


def grown(directory: str, tree: object) -> None:
    """A tree of nested dictionaries as directories, its numbers as the sizes of files."""
    if isinstance(tree, dict):
        Path(directory).mkdir(exist_ok=True)
        for name, inner in tree.items():
            grown(f"{directory}/{name}", inner)
    elif isinstance(tree, int):
        Path(directory).write_bytes(bytes(tree))


def expected(top: str, selection: Selection, place: str = "") -> dict[str, str]:
    """What becomes of each file by a plain reading of the rules."""
    found: dict[str, str] = {}
    for name in os.listdir(f"{top}/{place}"):  # noqa: PTH208
        path = f"{place}{name}"
        directory = Path(top, path).is_dir()
        if selection.junk_filter and (name.startswith(".") or (directory and name == "@eaDir")):
            found[path] = "junk"
        elif any(fits(one, f"{path}/x" if directory else path) for one in selection.exclude):
            found[path] = "filtered"
        elif directory:
            found |= expected(top, selection, f"{path}/")
        elif selection.include and not any(fits(one, path) for one in selection.include):
            found[path] = "filtered"
        elif Path(top, path).stat().st_size < (selection.min_size or 0):
            found[path] = "too_small"
        else:
            found[path] = TAKEN
    return found


@settings(max_examples=150)
@given(
    tree=TREE,
    include=st.lists(PATTERN, max_size=2),
    exclude=st.lists(st.sampled_from(["a", "b/", "/a", "a/b", "**/é/**", "*.b", "a/*/b"]), max_size=2),
    junk_filter=st.booleans(),
    min_size=st.one_of(st.none(), st.integers(0, 3)),
)
def test_every_file_of_any_tree_comes_exactly_once(
    tree: object, include: list[str], exclude: list[str], *, junk_filter: bool, min_size: int | None
) -> None:
    with TemporaryDirectory() as top:
        grown(top, tree if isinstance(tree, dict) else {"a": tree})
        selection = Selection(
            paths=(top,),
            user_id=USER,
            include=tuple(include),
            exclude=tuple(exclude),
            junk_filter=junk_filter,
            min_size=min_size,
        )

        assert fates(selection, Path(top)) == expected(top, selection)
