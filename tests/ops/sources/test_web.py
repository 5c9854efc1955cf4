"""Files of web servers whose connections break, and that find no room here."""

import resource
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import pytest
import trustme

from imgctl.config.settings import WorkSettings
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources import base, web
from imgctl.ops.sources.base import Read, SourceFile
from imgctl.ops.sources.web import WebFile
from tests.parts.loopback import Handler, serving
from tests.whole.conftest import photo

PHOTO = photo(1) + bytes(3 * 2**20)
RECOGNISER = Recogniser(WorkSettings())


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[SpoolDirectory]:
    directory = SpoolDirectory(str(tmp_path / "spool"))
    yield directory
    directory.close()


def _read(url: str, spools: SpoolDirectory) -> Read | FileOutcome:
    source = WebFile(url, spools)
    return source.read(SourceFile(path=url, size=len(PHOTO), mtime_ns=0, stamp=0, source=source), RECOGNISER)


def test_a_spool_without_room_fails_the_file_and_not_the_run(
    spools: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server(Handler):
        def do_GET(self) -> None:
            self.respond(200, PHOTO)

    monkeypatch.setattr(base, "STREAM_ABOVE", 2**20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(Server) as url:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
        try:
            outcome = _read(f"{url}/1.jpg", spools)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert isinstance(outcome, FileOutcome)
    assert outcome.reason is Reason.UNREADABLE and "TMPDIR" in outcome.detail


@contextmanager
def _garbling(ca: trustme.CA) -> Iterator[tuple[str, list[int]]]:
    """Run a TLS server that sends bytes of no TLS record within each body; yields its URL, and a list of its responses."""
    context, responses = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), list[int]()
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                with plain:
                    secure = context.wrap_socket(plain.dup(), server_side=True)
                    secure.recv(2**16)
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(500))
                    plain.sendall(b"not a record of TLS" * 10)
                    responses.append(len(responses))
                    secure.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", responses
        listening.shutdown(2)


def test_a_response_whose_encryption_breaks_is_requested_again_and_then_fails_its_file(
    spools: SpoolDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    # From Python 3.12 on it keeps the certificates of its first request.
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setattr(web, "FIRST_PAUSE_SECONDS", 0.0)
    with _garbling(ca) as (url, responses):
        outcome = _read(f"{url}/1.jpg", spools)

    assert isinstance(outcome, FileOutcome)
    assert (outcome.reason, len(responses)) == (Reason.SOURCE, web.TRIES)
