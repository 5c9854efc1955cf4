"""The short way of a put: what it signs, what it takes for an answer, and when it steps aside."""

import datetime
import hashlib
import ipaddress
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from imgctl.store.blobs.s3_connect import Connection, url_of
from imgctl.store.blobs.s3_credentials import Credentials
from imgctl.store.blobs.s3_lane import Answer, Lane, is_direct
from tests.parts.seaweed import ACCESS_KEY, SECRET_KEY, S3Server

JPEG = {"content-type": "image/jpeg"}
STORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REQUEST_TIMEOUT = 20.0


def lane_to(endpoint_url: str, bucket: str = "bucket", *, token: str = "", timeout: float = REQUEST_TIMEOUT) -> Lane:
    where = Connection(bucket=bucket, endpoint_url=endpoint_url, region="us-east-1", timeout=timeout, retries=0)
    who = Credentials(access_key=ACCESS_KEY, secret_key=SECRET_KEY, token=token)
    return Lane(where, lambda: who)


class Server:
    """A server of one answer after another; an empty one closes the connection instead."""

    def __init__(self, answers: list[bytes], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while self._answers:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as channel:
                    self._converse(channel)
            except OSError:
                continue

    def _converse(self, channel: socket.socket) -> None:
        while self._answers and (request := _whole_request(channel)):
            self.requests.append(request)
            answer = self._answers.pop(0)
            if not answer:
                return
            channel.sendall(answer)


def _whole_request(channel: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := channel.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += channel.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(*answers: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(list(answers), tls)
    try:
        yield server
    finally:
        server.close()


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(":", 1) for line in lines)


@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
        lambda name: "//" not in name and not {".", ".."} & set(name.split("/"))
    ),
    body=st.binary(max_size=64),
    token=st.sampled_from(["", "a+session/token=="]),
    bucket=st.sampled_from(["photos", "photos.example.com"]),
    signs_body=st.booleans(),
    endpoint_url=st.sampled_from(["", "http://127.0.0.1:8333", "https://store.example.com"]),
)
def test_signature_is_the_one_botocore_makes(
    name: str, body: bytes, token: str, bucket: str, signs_body: bool, endpoint_url: str
) -> None:
    lane = lane_to(endpoint_url, bucket, token=token)
    digest = hashlib.sha256(body).digest()

    head = lane._head(name, len(body), {**JPEG, "if-none-match": "*"}, digest, signs_body=signs_body)

    ours = headers_of(head)
    where = Connection(bucket=bucket, endpoint_url=endpoint_url, region="us-east-1", timeout=1, retries=0)
    unsigned = {key: ours[key] for key in ours if key not in ("authorization", "user-agent", "content-length")}
    request = AWSRequest("PUT", url_of(where, name), headers=unsigned, data=body)
    request.context["timestamp"] = ours["x-amz-date"]
    signer = S3SigV4Auth(BotoCredentials(ACCESS_KEY, SECRET_KEY, token or None), "s3", "us-east-1")
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].rpartition("Signature=")[2] == signer.signature(to_sign, request)
    assert head.split(b" ")[1].decode() == request.url.partition("://")[2].partition("/")[2].join(["/", ""])


def test_server_checks_signature_and_bytes(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    lane, body = lane_to(seaweed.endpoint_url, bucket), bytes(range(256)) * 2000

    assert lane.put("a b/ü.jpg", body, {**JPEG, "if-none-match": "*"}) is Answer.STORED
    assert lane.put("a b/ü.jpg", b"other", {**JPEG, "if-none-match": "*"}) is Answer.UNCLEAR
    assert lane.put("damaged.jpg", body, JPEG, hashlib.sha256(b"other").digest()) is Answer.UNCLEAR

    found = seaweed.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert [one["Key"] for one in found] == ["a b/ü.jpg"]
    assert seaweed.client().get_object(Bucket=bucket, Key="a b/ü.jpg")["Body"].read() == body


def test_a_server_that_checks_refuses_a_damaged_body_also_unsigned(seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    lane, bodies = lane_to(seaweed.endpoint_url, bucket), [bytes([number]) * 1000 for number in range(3)]

    assert [lane.put(str(number), body, JPEG) for number, body in enumerate(bodies)] == [Answer.STORED] * 3
    assert lane.put("damaged.jpg", b"whole", JPEG, hashlib.sha256(b"other").digest()) is Answer.UNCLEAR
    assert len(seaweed.client().list_objects_v2(Bucket=bucket)["Contents"]) == 3


def test_a_body_goes_unsigned_only_while_each_answer_tells_its_checksum() -> None:
    body, digest = b"x", hashlib.sha256(b"x").digest()
    told = STORED[:-2] + b"X-Amz-Checksum-SHA256: " + b64encode(digest) + b"\r\n\r\n"
    other = STORED[:-2] + b"X-Amz-Checksum-SHA256: " + b64encode(bytes(32)) + b"\r\n\r\n"
    with serving(STORED, told, told, STORED, told, other) as server:
        lane = lane_to(f"http://{server.address}")

        answers = [lane.put("a", body, JPEG) for _ in range(6)]

    unsigned = [headers_of(request)["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD" for request in server.requests]
    assert unsigned == [False, False, True, True, False, True]
    assert answers == [Answer.STORED] * 3 + [Answer.UNCLEAR, Answer.STORED, Answer.UNCLEAR]


def test_one_connection_serves_put_after_put() -> None:
    with serving(*[STORED] * 5) as server:
        lane = lane_to(f"http://{server.address}")

        assert [lane.put("a", b"x" * size, JPEG) for size in (1, 0, 300_000, 7, 9)] == [Answer.STORED] * 5
        assert server.connections == 1
        assert [len(request.partition(b"\r\n\r\n")[2]) for request in server.requests] == [1, 0, 300_000, 7, 9]


@pytest.mark.parametrize(
    "last_word",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_connection_that_may_not_go_on_is_not_used_again(last_word: bytes) -> None:
    with serving(last_word, STORED) as server:
        lane = lane_to(f"http://{server.address}")

        assert [lane.put("a", b"x", JPEG), lane.put("b", b"y", JPEG)] == [Answer.STORED] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n", Answer.BUSY),
        (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", Answer.BUSY),
        (b"", Answer.BUSY),
        (b"HTTP/1.1 200 OK\r\nConte", Answer.BUSY),
        (b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n", Answer.UNCLEAR),
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\n\r\n", Answer.UNCLEAR),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Answer.UNCLEAR),
        (b"220 mail.example.com ESMTP\r\n\r\n", Answer.UNCLEAR),
    ],
)
def test_only_a_plain_answer_is_taken(said: bytes, meant: Answer) -> None:
    with serving(said, STORED) as server:
        lane = lane_to(f"http://{server.address}", timeout=0.5)

        assert lane.put("a", b"x", JPEG) is meant
        assert lane.put("a", b"x", JPEG) is Answer.STORED
        assert server.connections == 2


def test_silence_ends_at_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lane = lane_to(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)

        assert lane.put("a", b"x", JPEG) is Answer.BUSY


def test_lane_rests_where_nobody_listens_or_nothing_is_plain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    deaf = lane_to(f"http://127.0.0.1:{port}")
    assert deaf.put("a", b"x", JPEG) is Answer.UNCLEAR

    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with serving(*[refusal] * 9) as server:
        lane = lane_to(f"http://{server.address}")
        answers = [lane.put("a", b"x", JPEG) for _ in range(9)]

        assert answers == [Answer.UNCLEAR] * 9
        assert len(server.requests) == 3


def test_encrypted_server_must_prove_who_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(tmp_path))
    body = b"x" * 400_000
    with serving(STORED, tls=tls) as server:
        stranger = lane_to(f"https://{server.address}")
        assert stranger.put("a", body, JPEG) is Answer.UNCLEAR
        assert server.requests == []

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        assert lane_to(f"https://{server.address}").put("a", body, JPEG) is Answer.STORED
        assert server.requests[0].endswith(body)


def _certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    kept = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "server.pem"
    file.write_bytes(kept + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_is_left_to_the_other_client(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.upper(), raising=False)
    assert is_direct()

    monkeypatch.setenv(name, "http://127.0.0.1:3128")
    assert not is_direct()
