"""A server that answers with what a cloud's documentation records, for what no emulator can show."""

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

# The method, a part of the path with its query, the status, the headers and the body.
Answer: TypeAlias = tuple[str, str, int, Mapping[str, str], bytes]


class Stub:
    """A server that answers each request with the first answer whose method and path part fit it."""

    def __init__(self, answers: list[Answer]) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Mapping[str, str], bytes]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                query = dict(parse_qsl(parts.query))
                stub.asked.append((self.command, parts.path, query, dict(self.headers), body))
                number = next(at for at, one in enumerate(answers) if one[0] == self.command and one[1] in self.path)
                _, _, status, headers, said = answers.pop(number)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(said)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
