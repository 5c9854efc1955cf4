"""Patterns match exactly what a slow reference implementation matches."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import UsageError
from imgctl.ops.upload.globs import Globs, owner_by

USER = UUID("0190b2b4-0000-7000-8000-000000000001")


def name_fits(pattern: str, name: str) -> bool:
    """Match one name against the pattern of one name, a character at a time."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return name_fits(pattern[1:], name) or (bool(name) and name_fits(pattern, name[1:]))
    if not name:
        return False
    if pattern[0] == "[":
        end = pattern.index("]", 2)
        return (name[0] in pattern[1:end]) and name_fits(pattern[end + 1 :], name[1:])
    return pattern[0] in ("?", name[0]) and name_fits(pattern[1:], name[1:])


def names_fit(patterns: list[str], names: list[str]) -> bool:
    """Match the names of a path against the patterns of a path, `**` as any number of names."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(names_fit(patterns[1:], names[at:]) for at in range(len(names) + 1)) and bool(names)
    if not names:
        return False
    # A name is never empty, so a pattern of stars needs at least one character.
    return name_fits(patterns[0], names[0]) and names_fit(patterns[1:], names[1:])


def fits(pattern: str, path: str) -> bool:
    """Whether the pattern matches the file or a directory above it, by trying them all."""
    names, parts = path.split("/"), pattern.strip("/").split("/")
    if "/" not in pattern.rstrip("/"):
        parts = ["**", *parts]
    shortest = names[:-1] if pattern.endswith("/") else names
    return any(names_fit(parts, names[: end + 1]) for end in range(len(shortest)))


PART = st.sampled_from(["a", "b", "é", "*", "?", "[ab]", ".", "\n", "\udcff", " ", "+"])
SEGMENT = st.one_of(st.just("**"), st.lists(PART, min_size=1, max_size=4).map("".join))
PATTERN = st.builds(
    lambda lead, parts, tail: lead + "/".join(parts) + tail,
    st.sampled_from(["", "/"]),
    st.lists(SEGMENT, min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
).filter(lambda text: not {".", "..", "..."} & set(text.split("/")) and "***" not in text)
NAME = st.text(alphabet="abé.\n\udcff +", min_size=1, max_size=4)
PATH = st.lists(NAME, min_size=1, max_size=4).map("/".join)


@given(patterns=st.lists(PATTERN, min_size=1, max_size=3), path=PATH)
def test_the_first_matching_pattern_equals_that_of_a_reference(patterns: list[str], path: str) -> None:
    slow = next((one for one in patterns if fits(one, path)), None)

    assert Globs(patterns).fitting(path) == slow


def test_a_long_path_is_matched_in_bounded_work() -> None:
    path = "a/b/c/" * 700

    assert Globs(["**/a/**/b/**/c/**/d"]).fitting(path) is None
    assert Globs(["**/a/**/b/**/c/**/d"]).fitting(f"{path}d") is not None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.jpg", "a.jpg"),
        ("*.jpg", "x/y/a.jpg"),
        ("2023", "2023/a.jpg"),
        ("2023", "x/2023/y/a.jpg"),
        ("2023/", "x/2023/a.jpg"),
        ("/a.jpg", "a.jpg"),
        ("x/*.jpg", "x/a.jpg"),
        ("x/**", "x/y/z/a.jpg"),
        ("**/raw/**", "x/raw/y/a"),
        ("**/raw/**", "raw/a"),
        ("x/**/a.jpg", "x/a.jpg"),
        ("IMG_[0-9]?[!x]", "IMG_12y"),
        (r"\*[]]", "*]"),
        ("*.jpg", "new\nline.jpg"),
        ("./x/*", "x/a"),
    ],
)
def test_a_pattern_matches_as_a_shell_user_expects(pattern: str, path: str) -> None:
    assert Globs([pattern]).fitting(path) == pattern


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.jpg", "a.JPG"),
        ("*.jpg", "a.jpgx"),
        ("/a.jpg", "x/a.jpg"),
        ("x/*.jpg", "x/y/a.jpg"),
        ("x/*.jpg", "z/x/a.jpg"),
        ("2023/", "2023"),
        ("x?y", "x/y"),
        ("x[!a]y", "x/y"),
        ("x/**", "xy/a"),
    ],
)
def test_a_pattern_matches_nothing_else(pattern: str, path: str) -> None:
    assert Globs([pattern]).fitting(path) is None


@pytest.mark.parametrize("pattern", ["", "/", "..", "../x", "[ab", "[z-a]", "a\\"])
def test_a_pattern_that_cannot_match_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(pattern))):
        Globs([pattern])


def test_a_pattern_of_many_stars_matches_without_backtracking() -> None:
    # With backtracking, this would take years.
    assert Globs(["*a" * 60 + "b"]).fitting("a" * 255) is None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{user}/**", f"{USER}/a.jpg"),
        ("{user}/**", f"{USER}/2023/a.jpg"),
        ("{user}", f"{USER}/2023/a.jpg"),
        ("user-{user}/*", f"user-{USER}/a.jpg"),
        ("by-owner/*/{user}/**", f"by-owner/x/{USER}/a.jpg"),
        ("**/{user}/*", f"x/y/{USER}/a.jpg"),
        ("{user}/**", f"{USER.hex.upper()}/a.jpg"),
        ("**/{user}*", f"x/{USER}_7.jpg"),
    ],
)
def test_an_owner_is_read_at_the_placeholder(pattern: str, path: str) -> None:
    assert owner_by(pattern)(path) == USER


@pytest.mark.parametrize("path", ["a.jpg", "nobody/a.jpg", f"x/{USER}/a.jpg", f"{USER}x/a.jpg", f"{str(USER)[:-1]}/a"])
def test_a_path_without_a_user_at_the_placeholder_has_no_owner(path: str) -> None:
    assert owner_by("{user}/**")(path) is None


@pytest.mark.parametrize("pattern", ["", "**", "{user}/{user}", "../{user}", "[{user}]/*"])
def test_an_owner_pattern_without_one_placeholder_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="user"):
        owner_by(pattern)
