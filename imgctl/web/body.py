"""Receives request bodies, with limits on size, memory and time; streams those of uploads into spools."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Message, Receive

from imgctl.config.service import ServeSettings
from imgctl.ops.ingest.spool import PIECE_BYTES, Spool
from imgctl.units import format_bytes
from imgctl.web.app_state import AppState
from imgctl.web.problem import Refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# Slower than an old modem: an attack, or a connection on which the upload would fail anyway.
LEAST_BYTES_A_SECOND = 4096
# Bodies up to this size stay in memory while there is room.
WHOLE_BYTES = 16 * PIECE_BYTES
UPLOADS = "/images"
MOST_BODY_BYTES = 2**20
FORM_OVERHEAD_BYTES = 64 * 2**10
MOST_FIELD_BYTES = 32 * 2**10
MOST_FIELDS = 16
FILE_FIELD = "file"
# The only form of a name other than ASCII in older clients (RFC 5987).
_ENCODED_NAME = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^';]*'([^;\s]*)", re.IGNORECASE)
# The rest of the body is not read, so the connection cannot carry another request.
_CLOSE = {"Connection": "close"}


@dataclass(slots=True)
class Form:
    """The metadata sent with the bytes: the fields of a multipart form, and the file's name."""

    fields: dict[str, str] = field(default_factory=dict)
    name: str = ""


async def receive(request: Request, state: AppState, spool: Spool, held: ExitStack) -> Form:
    """Stream the body (of a form: its field `file`) into the spool; Refusal if it is too large, too slow or malformed.

    Slots taken from `state.receiving` are given back when `held` is closed.
    """
    form = is_form(request)
    _check_head(request, state, form=form)
    limit = state.settings.max_bytes + (FORM_OVERHEAD_BYTES if form else 0)
    pieces = _pieces(request, limit, state.settings)
    writer = _Writer(state, spool, held)
    if form:
        return await _receive_form(request, state, pieces, writer)
    async for piece in pieces:
        await writer.write(piece)
    await writer.finish()
    return Form()


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form and not the bytes themselves."""
    return request.headers.get("content-type", "").lower().startswith("multipart/")


def _check_head(request: Request, state: AppState, *, form: bool) -> None:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise Refusal(415, f"unsupported Content-Encoding: {encoding}", hint="send the picture's bytes unencoded")
    length = request.headers.get("content-length", "")
    slack = FORM_OVERHEAD_BYTES if form else 0
    if length.isascii() and length.isdigit() and int(length) > state.settings.max_bytes + slack:
        raise _too_large(state.settings.max_bytes)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        f"more than {format_bytes(limit)}",
        hint="send a smaller picture, or raise [serve] max_bytes",
        headers=_CLOSE,
    )


async def _pieces(request: Request, limit: int, settings: ServeSettings) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; Refusal for more than `limit` bytes."""
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(settings.max_bytes)
        yield piece


class Body:
    """Receives the body of a request: HTTPException if it is larger than MOST_BODY_BYTES, or arrives too slowly.

    Uploads have a limit of their own, and never lie in memory as a whole. The framework, which reads the bodies of most
    requests itself, returns no other error as it is.
    """

    def __init__(self, receive: Receive, *, path: str, timeout_seconds: float) -> None:
        self._receive = receive
        self._limit = inf if path == UPLOADS else MOST_BODY_BYTES
        self._timeout_seconds = timeout_seconds
        self._began = time.monotonic()
        self._size = 0
        self._ended = False

    async def receive(self) -> Message:
        """Return the next piece; behind the body there is no limit."""
        if self._ended:
            return await self._receive()
        left = self._began + self._timeout_seconds + self._size / LEAST_BYTES_A_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(left, self._timeout_seconds))):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body arrived too slowly", headers=_CLOSE) from None
        self._ended = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise HTTPException(413, f"more than {format_bytes(int(self._limit))}", headers=_CLOSE)
        return message


class _Writer:
    """Buffers the body: up to WHOLE_BYTES while half of `receiving` is free, else pieces large enough for a thread."""

    def __init__(self, state: AppState, spool: Spool, held: ExitStack) -> None:
        self._state = state
        self._spool = spool
        self._held = held
        self._room = PIECE_BYTES
        self._gathered: list[bytes] = []
        self._size = 0

    async def write(self, piece: bytes) -> None:
        self._gathered.append(piece)
        self._size += len(piece)
        while self._size >= self._room:
            if self._spool.size or self._room >= WHOLE_BYTES or not self._state.receiving.take(least_left=0.5):
                self._room = PIECE_BYTES
                await self._flush()
                return
            self._held.callback(self._state.receiving.give_back)
            self._room += PIECE_BYTES

    async def finish(self) -> None:
        if self._gathered:
            await self._flush()

    async def _flush(self) -> None:
        gathered, self._gathered, self._size = self._gathered, [], 0
        await self._state.spool(lambda: self._spool.add(b"".join(gathered)))


async def _receive_form(request: Request, state: AppState, pieces: AsyncIterator[bytes], writer: "_Writer") -> Form:
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise Refusal(400, "a multipart body without a boundary", hint="curl -F file=@photo.jpg sends one")
    parts = _Parts()
    file_bytes = 0
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for piece in pieces:
            parser.write(piece)
            for chunk in parts.take():
                file_bytes += len(chunk)
                await writer.write(chunk)
        parser.finalize()
    except FormParserError:
        raise Refusal(400, "the form is malformed", hint="curl -F file=@photo.jpg sends a valid one") from None
    await writer.finish()
    if not parts.ended:
        raise Refusal(400, "the form is cut short", hint="send it again")
    if file_bytes > state.settings.max_bytes:
        raise _too_large(state.settings.max_bytes)
    if not parts.found:
        raise Refusal(422, f"the form has no field {FILE_FIELD}", hint="curl -F file=@photo.jpg")
    return Form(fields=parts.texts(), name=parts.name)


class _Parts:
    """Splits a form as it arrives: keeps its small fields and passes on the file's bytes."""

    def __init__(self) -> None:
        self.fields: dict[str, bytearray] = {}
        self.found = False
        self.ended = False
        self.name = ""
        self._chunks: list[bytes] = []
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None

    def callbacks(self) -> "MultipartCallbacks":
        """Return the callbacks for the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_ended,
            "on_headers_finished": self._headers_ended,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def texts(self) -> dict[str, str]:
        """Return the fields other than the file, decoded."""
        return {name: value.decode(errors="replace") for name, value in self.fields.items()}

    def take(self) -> list[bytes]:
        """Return the file's bytes that arrived since the last call."""
        taken, self._chunks = self._chunks, []
        return taken

    def _begin(self) -> None:
        self._headers = {}

    def _header_ended(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_ended(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if name == FILE_FIELD:
            if self.found:
                raise Refusal(422, "the form has more than one file", hint="send one picture a request")
            self.found, self._field = True, None
            encoded = _ENCODED_NAME.search(disposition)
            name_bytes = unquote_to_bytes(encoded[1]) if encoded else options.get(b"filename", b"")
            self.name = name_bytes.decode(errors="replace")
            return
        if name in self.fields:
            raise Refusal(422, f"the form has the field {name[:40]!r} twice", hint="send each field once")
        self._field, self.fields[name] = name, bytearray()
        if len(self.fields) > MOST_FIELDS:
            raise Refusal(413, "the form has too many fields", hint=f"{FILE_FIELD}, user_id and caption are read")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._chunks.append(bytes(data[start:end]))
            return
        self.fields[self._field] += data[start:end]
        if sum(map(len, self.fields.values())) > MOST_FIELD_BYTES:
            raise Refusal(413, "the form's fields are too long", hint="a caption of some sentences fits")

    def _end(self) -> None:
        self.ended = True
