"""A server that returns responses from a cloud's documentation, for cases that no emulator covers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from tests.parts.loopback import Handler, serving

# The method, a part of the path with its query, the status, the headers and the body.
RecordedResponse: TypeAlias = tuple[str, str, int, Mapping[str, str], bytes]


@dataclass(slots=True)
class Stub:
    """The server's URL, and the received requests: method, path, query, headers and body."""

    url: str = ""
    requests: list[tuple[str, str, dict[str, str], Mapping[str, str], bytes]] = field(default_factory=list)


@contextmanager
def recorded(responses: list[RecordedResponse]) -> Iterator[Stub]:
    """A server that returns, once each, the first of `responses` whose method and path part match the request."""
    stub = Stub()

    class Recorded(Handler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            stub.requests.append(
                (self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), self.body())
            )
            number = next(at for at, one in enumerate(responses) if one[0] == self.command and one[1] in self.path)
            _, _, status, headers, body = responses.pop(number)
            self.respond(status, body, headers)

    with serving(Recorded) as stub.url:
        yield stub
