"""Every file below the paths of a selection comes once: with its owner, or with the reason it is left out."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgctl.errors import UsageError
from imgctl.ops.ingest.outcome import Fate, Reason
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.local import LocalFiles
from imgctl.ops.sources.open import Sources
from imgctl.ops.sources.walk import MOST_OPEN
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.options import Selection
from tests.ops.upload.trees import NAMES, OTHER, TAKEN, USER, fates, left, planted, taken

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def below(root: Path, **changes: object) -> Selection:
    """Return the selection of all files below the root, with `changes`."""
    return replace(Selection(paths=(str(root),), user_id=USER), **changes)  # type: ignore[arg-type]


def test_a_file_comes_with_its_stat_and_its_owner(tmp_path: Path) -> None:
    planted(tmp_path, ["a.jpg"])
    info = (tmp_path / "a.jpg").stat()

    assert taken(below(tmp_path)) == [
        SourceFile(
            path=str(tmp_path / "a.jpg"),
            size=1,
            mtime_ns=info.st_mtime_ns,
            stamp=info.st_ino,
            source=LocalFiles(),
            user_id=USER,
        )
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


def test_a_filtered_file_names_the_filter(tmp_path: Path) -> None:
    planted(tmp_path, ["a.png", "b.tmp", "x/c"])

    assert [detail for *_, detail in left(below(tmp_path, include=("*.jpg",), exclude=("*.tmp", "x/")))] == [
        "no --include pattern matches",
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


def test_a_named_hidden_file_is_taken_but_system_junk_is_not(tmp_path: Path) -> None:
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


def test_links_are_followed_on_request_and_loops_are_found(tmp_path: Path) -> None:
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


def test_names_of_every_kind_come_back_as_they_are(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")

    found = taken(below(tmp_path, include=("*",), exclude=("none/**",)))

    assert sorted(os.fsencode(os.path.basename(one.path)) for one in found) == sorted(NAMES)  # noqa: PTH119


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Create directories `d/d/…` in the current one, with a file in the last; return their number."""
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + MOST_OPEN
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("a.jpg").write_bytes(b"x")
    os.chdir(tmp_path)
    yield depth
    # Removed from the bottom, because functions that remove trees are often recursive.
    for _ in range(depth):
        os.chdir("d")
    Path("a.jpg").unlink()
    for _ in range(depth):
        os.chdir("..")
        Path("d").rmdir()


def test_a_tree_deeper_than_the_recursion_limit_is_walked(deep: int) -> None:
    assert [one.path.count("/") for one in taken(below(Path("d")))] == [deep]


def test_an_abandoned_walk_closes_its_directories(tmp_path: Path) -> None:
    planted(tmp_path, ["a/b/c", "a/b/d"])
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    files = chosen(below(tmp_path), Sources())

    next(files)
    files.close()  # type: ignore[attr-defined]

    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(user_id=USER), "no files given"),
        (Selection(paths=("a",)), "no owner given"),
        (Selection(paths=("a",), user_id=USER, user_from="{user}"), "both"),
        (Selection(paths=("a",), user_from="user"), "once"),
        (Selection(paths=("a",), user_id=USER, min_size=2, max_size=1), "--min-size"),
        (Selection(paths=("a",), user_id=USER, since=NOON, until=NOON), "--since"),
        (Selection(paths=("a",), user_id=USER, include=("[",)), "never closes"),
        (Selection(paths=("a",), user_id=USER, exclude=("",)), "matches nothing"),
        (Selection(paths=("a",), manifest="m"), "excludes PATH"),
        (Selection(manifest="/no/such/manifest"), "/no/such/manifest: no such file"),
        (Selection(files_from="/no/such/list", user_id=USER), "/no/such/list: no such file"),
        (Selection(files_from="/", user_id=USER), "is a directory"),
    ],
)
def test_an_invalid_selection_is_refused_at_once(selection: Selection, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen(selection, Sources())
