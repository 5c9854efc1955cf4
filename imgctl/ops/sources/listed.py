"""Files that a list or a manifest names by url: readers look up each one before reading it."""

from collections.abc import Callable, Iterator, Sequence

from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.sources.base import Read, Rules, Source, SourceFile, Stat

Look = Callable[[str], Stat | FileOutcome]


class Unseen:
    """The source of a file of which only name and place are known yet."""

    spools = True

    def __init__(self, source: Source, look: Look, rules: Rules) -> None:
        self.sidecars: SidecarFiles = source.sidecars
        self._source = source
        self._look = look
        self._rules = rules

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Yield nothing: a list names the files."""
        return iter(())

    def named(self, path: str, place: str) -> SourceFile:
        """Return the file of that name, whose metadata is not looked up yet."""
        return SourceFile(path=path, size=0, mtime_ns=0, stamp=0, source=self, place=place)

    def look(self, found: SourceFile) -> SourceFile | FileOutcome:
        """Look up the file's metadata and apply the rules; raises StoreError for errors that end the run."""
        stat = self._look(found.place)
        if isinstance(stat, FileOutcome):
            return stat
        judged = self._rules.judge(found.path, found.place, stat, user_id=found.user_id)
        if isinstance(judged, FileOutcome):
            return judged
        return judged.described_by(found)

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        looked = self.look(found)
        return looked if isinstance(looked, FileOutcome) else looked.source.read(looked, recogniser)

    def identity(self, found: SourceFile) -> bytes:
        return self._source.identity(found)


def looked(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[FileOutcome]]:
    """Look up the files of an Unseen source; return the files, and the outcomes of those that are skipped."""
    seen = [one.source.look(one) if isinstance(one.source, Unseen) else one for one in files]
    return [one for one in seen if not isinstance(one, FileOutcome)], [
        one for one in seen if isinstance(one, FileOutcome)
    ]
