"""Files that a list or a manifest names by an http:// or https:// url; each is looked at and read by one request."""

import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from imgctl.dates import EPOCH
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import Listing, SidecarFiles
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources.base import STREAM_ABOVE, Read, Rules, SourceFile, Stat
from imgctl.ops.sources.members import stamp_of
from imgctl.ops.sources.reading import of_bytes, of_pieces
from imgctl.units import count_of

R = TypeVar("R")

PIECE = 2**20
TIMEOUT_SECONDS = 60.0
TRIES, FIRST_PAUSE_SECONDS = 5, 0.25
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
# What signs a url is nobody's business, and is another tomorrow (S3, CloudFront, Google Cloud Storage, Azure).
_SIGNING = ("x-amz-", "x-goog-")
_SIGNED = frozenset(
    [
        "awsaccesskeyid",
        "signature",
        "expires",
        "policy",
        "key-pair-id",
        "googleaccessid",
        "sig",
        "se",
        "st",
        "sp",
        "sv",
        "sr",
        "spr",
        "sip",
        "token",
    ]
)


class Unanswered(Exception):
    """A url that gave no file, and why."""


class WebFile:
    """The file of one url; see Source. Nothing is looked for beside it."""

    spools = True

    def __init__(self, url: str, spools: SpoolDirectory) -> None:
        self.sidecars = SidecarFiles(_Nothing())
        self._url = url
        self._spools = spools

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """None: nobody lists the files of a web server."""
        return iter(())

    def look(self, place: str) -> Stat | FileOutcome:
        """The size and the date that the server tells, by a GET of one byte: a signed url is good for no HEAD."""
        try:
            return self._asked(self._stat, {"Range": "bytes=0-0"})
        except Unanswered as error:
            return failed(public(self._url), error)

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        try:
            return self._asked(lambda answer: self._read(found, answer, recogniser), {})
        except Unanswered as error:
            return failed(found.path, error)

    def identity(self, found: SourceFile) -> bytes:
        return public(self._url).encode(errors="surrogatepass")

    def _stat(self, answer: HTTPResponse) -> Stat:
        _, slash, whole = answer.headers.get("Content-Range", "").rpartition("/")
        size = whole if slash else answer.headers.get("Content-Length", "")
        stamp, pinned = _stamp(answer)
        return Stat(
            int(size) if size.isdecimal() else 0, _mtime_ns(answer), stamp, self, place_of(self._url), pinned=pinned
        )

    def _read(self, found: SourceFile, answer: HTTPResponse, recogniser: Recogniser) -> Read:
        size = answer.length
        stamp, pinned = _stamp(answer)
        found = replace(found, size=size or 0, stamp=stamp, pinned=pinned)
        pieces = _pieces(answer, size)
        if size is None or size > STREAM_ABOVE:
            return of_pieces(found, pieces, self._spools, recogniser)
        return of_bytes(found, b"".join(pieces), recogniser)

    def _asked(self, take: Callable[[HTTPResponse], R], headers: dict[str, str]) -> R:
        """What `take` makes of the answer, asked again where none came or it broke off."""
        for attempt in range(TRIES):
            try:
                with _translated(last=attempt == TRIES - 1):
                    request = urllib.request.Request(_encoded(self._url), headers={"User-Agent": "imgctl", **headers})  # noqa: S310
                    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # http and https alone come here
                        return take(answer)
            except _Passing:
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))
        raise AssertionError("unreachable")


class _Passing(Exception):
    """Worth asking again."""


class _Nothing:
    def listed(self, directory: str, photo: str) -> Listing:
        return Listing()

    def content(self, path: str, longest: int) -> bytes | None:
        return None


@contextmanager
def _translated(*, last: bool) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _AGAIN and not last:
                raise _Passing from None
            raise Unanswered(f"the server answers {error.code} {error.reason}".rstrip()) from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        if not last and not isinstance(error, ValueError):
            raise _Passing from None
        said = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unanswered(f"no answer: {said}") from None


def _pieces(answer: HTTPResponse, size: int | None) -> Iterator[bytes]:
    left = size
    while piece := answer.read(PIECE):
        left = None if left is None else left - len(piece)
        yield piece
    if left:
        raise ConnectionError(f"it broke off {count_of(left, 'byte')} before its end")


def _stamp(answer: HTTPResponse) -> tuple[int, bool]:
    """What changes with the content, if anything that the server says does."""
    etag, date = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    return stamp_of(etag.removeprefix("W/").strip('"') or date), bool(etag)


def _mtime_ns(answer: HTTPResponse) -> int:
    try:
        return int((parsedate_to_datetime(answer.headers.get("Last-Modified", "")) - EPOCH).total_seconds()) * 10**9
    except (TypeError, ValueError):
        return time.time_ns()


def failed(path: str, error: Unanswered) -> FileOutcome:
    """The outcome of a url that gave no file."""
    detail = f"{error}; check the url, then run the same again"
    return FileOutcome(path=path, fate=Fate.FAILED, reason=Reason.SOURCE, detail=detail)


def public(url: str) -> str:
    """The url without what signs it: a name for reports and the journal, the same from day to day."""
    parts = urlsplit(url)
    said = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _signs(name)]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(said), ""))


def place_of(url: str) -> str:
    """Where it stands for the patterns: the host and the path."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{unquote(parts.path)}"


def _signs(name: str) -> bool:
    return name.lower().startswith(_SIGNING) or name.lower() in _SIGNED


def _encoded(url: str) -> str:
    """The url as it goes over the wire, where somebody wrote blanks or letters of his own."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~-._", errors="surrogateescape")
