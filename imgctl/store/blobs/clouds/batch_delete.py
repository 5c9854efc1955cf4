"""Many deletions in one multipart/mixed request, the same for Azure and Google, with a response for each."""

import re
from collections.abc import Iterable, Sequence
from email import message_from_bytes
from typing import NamedTuple, TypeVar
from uuid import uuid4

from imgctl.errors import StoreError
from imgctl.store.blobs.clouds.http import Headers, error_response
from imgctl.store.blobs.errors import ErrorResponse
from imgctl.units import count_of

T = TypeVar("T")

_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})")
_ID = re.compile(r"(\d+)\D*$")


class Part(NamedTuple):
    """One request of a batch: the path with its query, and its headers."""

    method: str
    path: str
    headers: Headers


def batch_body(parts: Iterable[Part]) -> tuple[str, bytes]:
    """Return the content type and the body of a batch."""
    boundary = f"batch_{uuid4()}"
    lines: list[str] = []
    for number, part in enumerate(parts):
        lines += [f"--{boundary}", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
        lines += [f"Content-ID: {number}", "", f"{part.method} {part.path} HTTP/1.1"]
        lines += [*(f"{name}: {value}" for name, value in part.headers.items()), "", ""]
    return f"multipart/mixed; boundary={boundary}", "\r\n".join([*lines, f"--{boundary}--", ""]).encode()


def batch_errors(content_type: str, body: bytes, keys: Sequence[T]) -> list[tuple[T, ErrorResponse]]:
    """Return the keys whose deletion was rejected, with the error; StoreError if a response is missing."""
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    responses = message.get_payload() if message.is_multipart() else []
    found: list[tuple[T, ErrorResponse]] = []
    for position, response in enumerate(responses):
        raw = response.get_payload(decode=True) if not isinstance(response, str) else b""
        assert isinstance(raw, bytes) and not isinstance(response, str)
        status = _STATUS.search(raw)
        named = _ID.search(response.get("Content-ID", ""))
        number = int(named[1]) if named and int(named[1]) < len(keys) else position
        if status is not None and int(status[1]) >= 400:
            head, _, content = raw.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode(errors="replace").split("\r\n") if ": " in line)
            found.append((keys[number], error_response(int(status[1]), headers, content.strip())))
    if len(responses) != len(keys):
        hint = "run the same command again; if this repeats, list the remaining objects with another tool"
        raise StoreError(
            f"{count_of(len(responses), 'response')} for {count_of(len(keys), 'deletion')} in one request", hint=hint
        )
    return found
