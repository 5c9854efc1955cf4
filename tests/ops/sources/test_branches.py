"""Keys and members are left out like the files of a directory: whole directories at once, in any order."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.sources.open import Sources
from imgctl.ops.sources.walk import Branches
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.options import Selection
from imgctl.ops.upload.selection_rules import SelectionRules
from tests.ops.upload.trees import USER, planted

NAMES = st.sampled_from(["a", "b", ".h", "@eaDir", "drafts", "Été"])
FILES = st.sampled_from(["x.jpg", ".y.jpg", "thumbs.db", "drafts", "z.gif"])
PLACES = st.lists(
    st.builds(lambda above, name: "/".join([*above, name]), st.lists(NAMES, max_size=3), FILES), unique=True
)
EXCLUDES = st.sampled_from([(), ("drafts/",), ("*.gif", "a/b"), ("b/**",), ("a/",)])


def without_clashes(places: list[str]) -> list[str]:
    """Return the places that fit into one directory tree: none is also a directory above another."""
    above = {place[:at] for place in places for at, sign in enumerate(place) if sign == "/"}
    return [place for place in places if place not in above]


@given(PLACES, EXCLUDES, st.booleans())
def test_keys_are_left_out_like_files(places: list[str], exclude: tuple[str, ...], junk: bool) -> None:
    places = without_clashes(places)
    selection = Selection(exclude=exclude, junk_filter=junk, user_id=USER)
    with TemporaryDirectory() as root:
        planted(Path(root), places)
        walked = chosen(Selection(paths=(root,), exclude=exclude, junk_filter=junk, user_id=USER), Sources())
        wanted = {
            (one.path.removeprefix(f"{root}/"), one.reason if isinstance(one, FileOutcome) else None) for one in walked
        }
    rules = SelectionRules(selection)
    branches = Branches("root/", rules)

    found: list[tuple[str, Reason | None]] = []
    for place in places:
        skipped, outcome = branches.skipped(place)
        outcome = outcome if skipped else rules.skip_entry(f"root/{place}", place, directory=False)
        if outcome is not None:
            found.append((outcome.path.removeprefix("root/"), outcome.reason))
        elif not skipped:
            found.append((place, None))

    assert set(found) == wanted
    assert len(found) == len(wanted)
