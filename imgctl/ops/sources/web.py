"""Files that a list or a manifest names by an http:// or https:// url: one request for metadata, one for the bytes."""

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
from imgctl.errors import os_reason
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import Listing, SidecarFiles
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources.base import Read, Rules, SourceFile, Stat, is_streamed, not_spooled, of_bytes, of_pieces
from imgctl.ops.sources.members import stamp_of
from imgctl.units import count_of

R = TypeVar("R")

PIECE = 2**20
TIMEOUT_SECONDS = 60.0
TRIES, FIRST_PAUSE_SECONDS = 5, 0.25
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
# Query parameters of signed urls (S3, CloudFront, Google Cloud Storage, Azure): secret, and different tomorrow.
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


class RequestFailed(Exception):
    """The request for a url failed."""


class WebFile:
    """The file of one url; see Source. It has no sidecars."""

    spools = True

    def __init__(self, url: str, spools: SpoolDirectory) -> None:
        self.sidecars = SidecarFiles(_NoSidecars())
        self._url = url
        self._spools = spools

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Yield nothing: the files of a web server cannot be listed."""
        return iter(())

    def look(self, place: str) -> Stat | FileOutcome:
        """Return size and date from the response to a GET of one byte, because a signed url does not allow HEAD."""
        try:
            return self._get(self._stat, {"Range": "bytes=0-0"})
        except RequestFailed as error:
            return failed(public(self._url), error)

    def read(self, found: SourceFile, recogniser: Recogniser) -> Read | FileOutcome:
        try:
            return self._get(lambda response: self._read(found, response, recogniser), {})
        except RequestFailed as error:
            return failed(found.path, error)
        except OSError as error:
            return not_spooled(found.path, error)

    def identity(self, found: SourceFile) -> bytes:
        return public(self._url).encode(errors="surrogatepass")

    def _stat(self, response: HTTPResponse) -> Stat:
        _, slash, whole = response.headers.get("Content-Range", "").rpartition("/")
        size = whole if slash else response.headers.get("Content-Length", "")
        stamp, pinned = _stamp(response)
        return Stat(
            int(size) if size.isdecimal() else 0, _mtime_ns(response), stamp, self, place_of(self._url), pinned=pinned
        )

    def _read(self, found: SourceFile, response: HTTPResponse, recogniser: Recogniser) -> Read:
        size = response.length
        stamp, pinned = _stamp(response)
        found = replace(found, size=size or 0, stamp=stamp, pinned=pinned)
        pieces = _pieces(response, size)
        if is_streamed(found, size, recogniser):
            return of_pieces(found, pieces, self._spools, recogniser)
        return of_bytes(found, b"".join(pieces), recogniser)

    def _get(self, take: Callable[[HTTPResponse], R], headers: dict[str, str]) -> R:
        """Return the result of `take` for the response; retries if there is no response, or if it breaks off."""
        for attempt in range(TRIES):
            try:
                with _translated(last=attempt == TRIES - 1):
                    request = urllib.request.Request(_encoded(self._url), headers={"User-Agent": "imgctl", **headers})  # noqa: S310
                    with _networked(lambda: urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)) as response:  # noqa: S310, B023  # only http and https
                        return take(response)
            except _Transient:
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))
        raise AssertionError("unreachable")


class _Transient(Exception):
    """An error that a retry may solve."""


class _NoSidecars:
    def forget(self) -> None:
        """Do nothing: the files do not change."""

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
                raise _Transient from None
            raise RequestFailed(f"the server returned {error.code} {error.reason}".rstrip()) from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        if not last and not isinstance(error, ValueError):
            raise _Transient from None
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise RequestFailed(f"no response: {reason}") from None


def _pieces(response: HTTPResponse, size: int | None) -> Iterator[bytes]:
    left = size
    while piece := _networked(lambda: response.read(PIECE)):
        left = None if left is None else left - len(piece)
        yield piece
    if left:
        raise ConnectionError(f"the response ended {count_of(left, 'byte')} early")


def _networked(request: Callable[[], R]) -> R:
    """Return the result of a step of a request; ConnectionError if TLS or the network fails in it."""
    try:
        return request()
    except urllib.error.URLError:
        raise
    except OSError as error:
        # Told apart from an error of the spool's disk.
        raise ConnectionError(os_reason(error)) from error


def _stamp(response: HTTPResponse) -> tuple[int, bool]:
    """Return the stamp of the content, from the ETag or the date, and whether it is pinned, as an ETag is."""
    etag, date = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    return stamp_of(etag.removeprefix("W/").strip('"') or date), bool(etag)


def _mtime_ns(response: HTTPResponse) -> int:
    try:
        return int((parsedate_to_datetime(response.headers.get("Last-Modified", "")) - EPOCH).total_seconds()) * 10**9
    except (TypeError, ValueError, OverflowError):
        return time.time_ns()


def failed(path: str, error: RequestFailed) -> FileOutcome:
    """Return the outcome of a url whose request failed."""
    return FileOutcome.failed(path, Reason.SOURCE, f"{error}; check the url, then run the same command again")


def public(url: str) -> str:
    """Return the url without credentials and signature: a stable name for reports and the journal."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _signs(name)]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query), ""))


def place_of(url: str) -> str:
    """Return the place that patterns are matched against: host and path."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{unquote(parts.path)}"


def _signs(name: str) -> bool:
    return name.lower().startswith(_SIGNING) or name.lower() in _SIGNED


def _encoded(url: str) -> str:
    """Return the url percent-encoded, in case it contains blanks or non-ASCII characters."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~-._", errors="surrogateescape")
