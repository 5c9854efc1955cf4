"""The directories in a listing of keys or members: each is judged by its name once, though only its files are listed."""

from collections import OrderedDict

from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.sources.base import Rules

# Directories that are remembered; one that is met again after these many others is judged, and told, again.
_MOST = 16_384


class Branches:
    """What the rules say of the directories above each listed file, as a walk from the `root` would ask them."""

    def __init__(self, root: str, rules: Rules) -> None:
        self._root = root
        self._rules = rules
        self._skipped: OrderedDict[str, bool] = OrderedDict({"": False})

    def skipped(self, place: str) -> tuple[bool, FileOutcome | None]:
        """Whether a file is left out by its name or a directory's, and the outcome: a directory's when it is met first."""
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
                # Two slashes, or one at the beginning: a name that no directory has.
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
