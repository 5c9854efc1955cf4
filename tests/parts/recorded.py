"""A server that answers with what a cloud's documentation records, for what no emulator can show."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from tests.parts.loopback import Handler, serving

# The method, a part of the path with its query, the status, the headers and the body.
Answer: TypeAlias = tuple[str, str, int, Mapping[str, str], bytes]


@dataclass(slots=True)
class Stub:
    """Where it listens, and what it was asked: method, path, query, headers and body of each request."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Mapping[str, str], bytes]] = field(default_factory=list)


@contextmanager
def recorded(answers: list[Answer]) -> Iterator[Stub]:
    """A server that answers each request with the first answer left whose method and path part fit it."""
    stub = Stub()

    class Recorded(Handler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            stub.asked.append((self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), self.body()))
            number = next(at for at, one in enumerate(answers) if one[0] == self.command and one[1] in self.path)
            _, _, status, headers, said = answers.pop(number)
            self.answer(status, said, headers)

    with serving(Recorded) as stub.url:
        yield stub
