"""Signed reports: JSON lines that prove findings or actions, written whole, and read back only if unchanged."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from imgctl.errors import UsageError, usable
from imgctl.jsontext import parse_json
from imgctl.ops.common.open import Parts
from imgctl.pricing.lines import Json, as_json
from imgctl.run.scratch import whole_file

SIGNATURE = "signature"


class SignedReport:
    """JSON lines, the last of which signs all bytes before it: by HMAC-SHA256 with a secret, else by SHA-256 alone.

    `head -n -1 FILE | sha256sum` prints the digest, `openssl dgst -sha256 -hmac SECRET` the signature.
    """

    def __init__(self, out: TextIO, secret: str) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self._signature = hmac.new(secret.encode(), digestmod=hashlib.sha256) if secret else None

    def add(self, record: Mapping[str, object]) -> None:
        """Add a line."""
        line = json.dumps(record, default=as_json) + "\n"
        self._digest.update(line.encode())
        if self._signature:
            self._signature.update(line.encode())
        self._out.write(line)

    def sign(self) -> str:
        """Write the last line; returns its digest in hex."""
        digest = self._digest.hexdigest()
        signature = self._signature.hexdigest() if self._signature else None
        self._out.write(json.dumps({"type": "signature", "sha256": digest, "hmac_sha256": signature}) + "\n")
        return digest


@contextmanager
def signed_report(file: Path, secret: str, *, unless: Callable[[], bool] = lambda: False) -> Iterator[SignedReport]:
    """Write a report that appears under its name once the block ends without error; StateError if that fails.

    Where `unless` returns True at the end, the report is not written.
    """
    with whole_file(file, unless=unless) as out:
        yield SignedReport(out, secret)


def places_of(parts: Parts) -> dict[str, str]:
    """Return the catalog and the store of a report as URLs without passwords."""
    store = parts.settings.store
    urls = {"store": store.url, "endpoint_url": store.endpoint_url}
    return {"catalog": parts.catalog.place, **{name: _without_password(url) for name, url in urls.items()}}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def read_signed(file: Path, secret: str) -> Iterator[Mapping[str, Json]]:
    """Yield the lines of a signed report without the signature; UsageError, before the first, if that is invalid."""
    _check(file, secret)
    for line in _lines(file):
        record = parse_json(line)
        if record.get("type") != SIGNATURE:
            yield record


def _check(file: Path, secret: str) -> None:
    expected = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    last = b""
    for line in _lines(file):
        expected.update(last)
        last = line
    try:
        found = parse_json(last)
        signed = (
            bool(secret)
            and found["type"] == SIGNATURE
            and hmac.compare_digest(found["hmac_sha256"], expected.hexdigest())
        )
    except (ValueError, KeyError, TypeError):
        signed = False
    if not signed:
        hint = "it was changed, cut short, or signed with another [serve] secret"
        raise UsageError(f"{file} has no valid signature", hint=hint)


def _lines(file: Path) -> Iterator[bytes]:
    with usable(file, "check the file's name"), file.open("rb") as opened:
        yield from opened
