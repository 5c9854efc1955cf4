"""The directories in a flat listing of keys or members: each is judged by name once, though only files are listed."""

from collections import OrderedDict

from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.sources.base import Rules

# The most directories that are remembered; one that comes up again after as many others is judged and reported again.
_MOST = 16_384


class Branches:
    """Applies the rules to the directories above each listed file, as a walk from the `root` would."""

    def __init__(self, root: str, rules: Rules) -> None:
        self._root = root
        self._rules = rules
        self._skipped: OrderedDict[str, bool] = OrderedDict({"": False})

    def skipped(self, place: str) -> tuple[bool, FileOutcome | None]:
        """Return whether a file is skipped by its name or a directory's, and the outcome to report.

        A directory's outcome is returned only for its first file.
        """
        skipped, outcome = self._branch_skipped(place)
        if not skipped:
            outcome = self._rules.skip_entry(self._root + place, place, directory=False)
        return skipped or outcome is not None, outcome

    def _branch_skipped(self, place: str) -> tuple[bool, FileOutcome | None]:
        directory = place[: place.rfind("/") + 1]
        if (known := self._skipped.get(directory)) is not None:
            return known, None
        outcome = None
        at = place.find("/")
        while at >= 0:
            branch = place[: at + 1]
            if branch not in self._skipped:
                # An empty name between two slashes, or before a leading one, is not a directory to judge.
                nameless = branch.endswith("//") or branch == "/"
                outcome = None if nameless else self._rules.skip_entry(self._root + branch[:-1], branch, directory=True)
                self._keep(branch, skipped=outcome is not None)
            if self._skipped[branch]:
                self._keep(directory, skipped=True)
                return True, outcome
            at = place.find("/", at + 1)
        return False, None

    def _keep(self, branch: str, *, skipped: bool) -> None:
        self._skipped[branch] = skipped
        if len(self._skipped) > _MOST:
            self._skipped.popitem(last=False)
