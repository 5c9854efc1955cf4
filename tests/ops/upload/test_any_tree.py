"""The choice of files of any tree equals that of a simple reference implementation."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.ops.upload.options import Selection
from tests.ops.upload.test_globs import PATTERN, fits
from tests.ops.upload.trees import TAKEN, USER, fates
from tests.soak import rounds

TREE = st.recursive(
    st.integers(min_value=0, max_value=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "é", ".h", "@eaDir", "a.b", " "]), inner, max_size=4),
    max_leaves=12,
)


def grown(directory: str, tree: object) -> None:
    """Create a tree: nested dictionaries as directories, numbers as the sizes of files."""
    if isinstance(tree, dict):
        Path(directory).mkdir(exist_ok=True)
        for name, inner in tree.items():
            grown(f"{directory}/{name}", inner)
    elif isinstance(tree, int):
        Path(directory).write_bytes(bytes(tree))


def expected(top: str, selection: Selection, place: str = "") -> dict[str, str]:
    """Return the fate of each file by a simple reference implementation of the rules."""
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


@settings(max_examples=rounds(60, 500))
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
