"""Opens the sources that a user names: local paths, urls of buckets, and `source:NAME` from the settings.

Files that a list names by url are looked up before they are read.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl.config.catalog_store import SourceSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError, ImgctlError, UsageError
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import ARCHIVES, Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources.base import Read, Rules, Source, SourceFile, Stat
from imgctl.ops.sources.local import LocalFiles

if TYPE_CHECKING:
    from imgctl.ops.sources.archives import ArchiveFiles
    from imgctl.ops.sources.bucket import BucketFiles
    from imgctl.ops.sources.members import Part

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


_WEB = ("http://", "https://")
_BUCKETS = ("s3", "gs", "az")
_NAMED = (*(f"{one}://" for one in _BUCKETS), *_WEB, "source:")

_ARCHIVE = rf"(?i)(?:{'|'.join(map(re.escape, ARCHIVES))})/"
DISTANT_READERS, DISTANT_CHUNK = 16, 16


def is_named(text: str) -> bool:
    """Whether a text is a url or a source of the settings, and not a path."""
    return text.lower().startswith(_NAMED)


def is_archive(path: str) -> bool:
    """Whether a path is that of an archive, by its extension, and not of a directory."""
    return path.lower().endswith(ARCHIVES) and not os.path.isdir(path)  # noqa: PTH112


def in_archive(path: str) -> FileOutcome | None:
    """Return the outcome of a listed path within an archive, as reports of an upload name members; None for others."""
    for found in re.finditer(_ARCHIVE, path):
        if os.path.isfile(archive := path[: found.end() - 1]):  # noqa: PTH113  # a str keeps bytes that are no UTF-8
            # All parts are needed: the sidecar may be in any other part.
            detail = f"lies in {archive}: upload the archives again, all of them; uploaded files are not read again"
            return FileOutcome.failed(path, Reason.IN_ARCHIVE, detail)
    return None


class Sources:
    """Opens the sources of one run; `close` deletes their spools.

    `distant`: a source is read over a network. `in_order`: a source is read as a stream, a file at a time.
    """

    def __init__(self, settings: Settings | None = None, *, follow_links: bool = False) -> None:
        self.local: Source = LocalFiles(sidecars=SidecarFiles(follow_links=follow_links))
        self.distant = False
        self.in_order = False
        self._archived: list[ArchiveFiles] = []
        self._settings = settings or Settings()
        self._spools: SpoolDirectory | None = None
        self._opened: dict[tuple[str, bool], BucketFiles] = {}

    def open(self, names: Iterable[str]) -> list[Source]:
        """Open sources by name, ordered: local, archives, buckets; UsageError or ConfigError if one is invalid."""
        distant: list[Source] = []
        paths: list[str] = []
        parts: list[Part] = []
        for name in names:
            if name.lower().startswith(_WEB):
                hint = "name its files in a list or a manifest: --files-from, --manifest"
                raise UsageError("the files of a web server cannot be listed", hint=hint)
            if is_named(name):
                distant.append(self._distant(name))
            elif (part := _part_of(name)) is not None:
                parts.append(part)
            else:
                paths.append(name)
        here: list[Source] = [LocalFiles(paths, sidecars=self.local.sidecars)] if paths else []
        return [*here, *([self._archives(parts)] if parts else []), *distant]

    def indexed(self, path: str) -> "ArchiveFiles":
        """Open one archive with an index, for lookups by name."""
        part = _part_of(path)
        assert part is not None
        archives = self._archives([part])
        archives.index()
        return archives

    def forget(self) -> None:
        """Forget the sidecars of buckets, for a run that lasts: a key may be used again."""
        for one in self._opened.values():
            one.forget()

    def one(self, name: str, rules: Rules, *, user_id: UUID | None = None) -> SourceFile | FileOutcome:
        """Return the file that a list or a manifest names by url."""
        if name.lower().startswith(_WEB):
            return self._on_the_web(name, rules, user_id)
        head, separator, place = _split(name, self._settings.inbox_url)
        try:
            source = self._distant(f"{head}{separator}", singly=True)
        except ImgctlError as error:
            return FileOutcome.failed(name, Reason.SOURCE, error.line)
        if (skipped := rules.skip_listed(name, place)) is not None:
            return skipped
        return replace(Unseen(source, source.look, rules).named(name, place), user_id=user_id)

    def _on_the_web(self, url: str, rules: Rules, user_id: UUID | None) -> SourceFile | FileOutcome:
        from imgctl.ops.sources.web import WebFile, place_of, public

        try:
            path, place = public(url), place_of(url)
        except ValueError as error:
            return FileOutcome.failed(url, Reason.BAD_LINE, f"invalid url: {error}")
        if (skipped := rules.skip_listed(path, place)) is not None:
            return skipped
        file = WebFile(url, self._spooling())
        return replace(Unseen(file, file.look, rules).named(path, place), user_id=user_id)

    def reading(self, *, readers: int, chunk: int) -> tuple[int, int]:
        """Return the number of reader threads and of files per chunk; as given if all sources are local files."""
        if self.in_order:
            return 1, 1
        # More readers, because each waits for the bucket's responses.
        return (DISTANT_READERS, DISTANT_CHUNK) if self.distant else (readers, chunk)

    def close(self) -> None:
        """Delete spools and indexes."""
        for archives in self._archived:
            archives.close()
        if self._spools is not None:
            self._spools.close()

    def _archives(self, parts: "list[Part]") -> "ArchiveFiles":
        from imgctl.ops.sources.archives import ArchiveFiles

        self.in_order = self.in_order or any(part.streams for part in parts)
        self._archived.append(ArchiveFiles(parts, self._spooling()))
        return self._archived[-1]

    def _spooling(self) -> SpoolDirectory:
        self._spools = self._spools or SpoolDirectory("")
        return self._spools

    def _distant(self, name: str, *, singly: bool = False) -> "BucketFiles":
        if (name, singly) not in self._opened:
            self._opened[name, singly] = self._open_distant(name, singly=singly)
        return self._opened[name, singly]

    def _open_distant(self, name: str, *, singly: bool) -> "BucketFiles":
        from imgctl.ops.sources.bucket import BucketFiles
        from imgctl.store.blobs.source_buckets import open_elsewhere

        inbox = self._settings.inbox_url
        if inbox and f"{name.rstrip('/')}/".startswith(inbox):
            # The inbox is within the store, but holds photos of others, which may be uploaded.
            settings, root, own = self._settings.store.as_source(name), f"{name.rstrip('/')}/", None
        else:
            settings, root = _named(name, self._settings.sources)
            own = own_prefix(settings, self._settings.store)
        bucket = open_elsewhere(settings)
        if own == "":
            hint = "imgctl insert copies objects of the store's own bucket"
            raise UsageError(f"{name} lies in the store itself, {self._settings.store.url}", hint=hint)
        self.distant = True
        return BucketFiles(bucket, self._spooling(), root=root, own=own, singly=singly)


def _part_of(path: str) -> "Part | None":
    if not is_archive(path):
        return None
    from imgctl.ops.sources.archives import part_of

    return part_of(path)


def _named(name: str, tables: Mapping[str, SourceSettings]) -> tuple[SourceSettings, str]:
    """Return the settings of a source, with the path below its url, and the prefix of its keys in reports."""
    scheme, _, rest = name.partition(":")
    if scheme.lower() != "source":
        return SourceSettings(url=name), f"{name.rstrip('/')}/"
    table, _, below = rest.partition("/")
    if table not in tables:
        known = ", ".join(sorted(tables)) or "none"
        raise UsageError(f"there is no [source.{table}] in the settings", hint=f"there are: {known}")
    if not tables[table].url:
        raise ConfigError(f"[source.{table}] has no url", hint='url = "s3://BUCKET/PREFIX"')
    url = "/".join(filter(None, (tables[table].url.rstrip("/"), below.strip("/"))))
    return replace(tables[table], url=url), f"{name.rstrip('/')}/"


def _split(name: str, inbox: str) -> tuple[str, str, str]:
    """Split a url into bucket, [source] table or inbox, the slash, and the key below it, exactly as written."""
    if inbox and name.startswith(inbox):
        return inbox[:-1], "/", name[len(inbox) :]
    start = name.find("://") + 3 if "://" in name else 0
    head, slash, key = name[start:].partition("/")
    return name[:start] + head, slash, key


def own_prefix(source: SourceSettings, store: StoreSettings) -> str | None:
    """Return the prefix of imgctl's own store below a source: empty if the source is in the store, None if apart."""
    scheme, _, ours = store.url.partition("://")
    here, _, theirs = source.url.partition("://")
    if here != scheme or scheme not in _BUCKETS or _endpoint(scheme, source.as_store()) != _endpoint(scheme, store):
        return None
    ours, theirs = f"{ours.strip('/')}/", f"{theirs.strip('/')}/"
    if theirs.startswith(ours):
        return ""
    return ours[len(theirs) :] if ours.startswith(theirs) else None


def _endpoint(scheme: str, bucket: StoreSettings) -> str:
    """Return the URL at which a bucket is reached; empty for AWS, and without an account."""
    if scheme == "gs":
        from imgctl.store.blobs.clouds.google_auth import google_endpoint

        return google_endpoint(bucket)
    if scheme == "az":
        from imgctl.store.blobs.clouds.azure_auth import azure_endpoint

        return azure_endpoint(bucket)
    return bucket.endpoint(os.environ).rstrip("/")
