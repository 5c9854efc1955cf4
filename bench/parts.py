"""Shared parts of the benchmarks: SeaweedFS or a sink, Postgres, a slow network, and measured child processes."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from sqlalchemy import create_engine, make_url, text

from imgctl.store.blobs.open import open_store
from tests.parts.clouds import CloudServer, azurite_server
from tests.parts.postgres import postgres_server
from tests.parts.proxy import fault_proxy
from tests.parts.seaweed import AWS_ENVIRONMENT, REGION, S3Server, seaweed_server

ROOT = Path(__file__).parent.parent
CHILD = Path(__file__).parent / "child.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The resources of one command: seconds of wall and of CPU (user and system), and the peak MiB of its largest process."""

    wall: float
    cpu: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """A running store and Postgres; clients use `endpoint_url`. A sink stores nothing.

    `azure` is Azurite, if it replaces S3.
    """

    s3: S3Server
    endpoint_url: str
    postgres_url: str
    keeps: bool = True
    azure: CloudServer | None = None

    def new_database(self, name: str) -> str:
        """The URL of a new, empty database."""
        _run(self.postgres_url, f"CREATE DATABASE {name}")
        return make_url(self.postgres_url).set(database=name).render_as_string(hide_password=False)

    def drop_database(self, name: str) -> None:
        """Drop a database with its open connections."""
        _run(self.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")

    def new_bucket(self, name: str) -> None:
        """Make an empty bucket whose first volumes exist, so that their creation is not measured."""
        if self.azure is not None:
            self.azure.create(name)
        if not self.keeps:
            return
        client = self.s3.client()
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="first", Body=b"first")
        client.delete_object(Bucket=name, Key="first")

    def count_objects(self, bucket: str) -> int | None:
        """Return the number of objects in a bucket; None if it is unknown."""
        if self.azure is not None:
            return sum(1 for _ in open_store(self.azure.settings(bucket)).scan())
        if not self.keeps:
            return None
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sum(int(page["KeyCount"]) for page in pages)

    def drop_bucket(self, name: str) -> None:
        """Delete a bucket with its objects, to free the disk space."""
        if not self.keeps:
            return
        client = self.s3.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
            if keys:
                client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
        client.delete_bucket(Bucket=name)


@contextmanager
def servers(directory: Path, *, delay_ms: float = 0.0) -> Iterator[Servers]:
    """Start both, with their data under `directory`; each request to the store waits `delay_ms` first."""
    with (
        seaweed_server(directory / "seaweed") as s3,
        postgres_server(directory) as postgres_url,
        distant(s3.endpoint_url, delay_ms) as endpoint_url,
    ):
        yield Servers(s3=s3, endpoint_url=endpoint_url, postgres_url=postgres_url)


@contextmanager
def azure_servers(directory: Path, *, delay_ms: float = 0.0) -> Iterator[Servers]:
    """Start Azurite, which keeps blobs on disk as it does by default, and Postgres.

    In memory it would keep the blobs of all turns, and get slower from turn to turn.
    """
    with (
        azurite_server(directory / "azurite", on_disk=True) as azure,
        postgres_server(directory) as postgres_url,
        distant(azure.endpoint_url, delay_ms) as url,
    ):
        os.environ |= azure.environment
        s3 = S3Server(endpoint_url=url)
        yield Servers(s3=s3, endpoint_url=url, postgres_url=postgres_url, keeps=False, azure=azure)


@contextmanager
def sink_servers(directory: Path, *, delay_ms: float = 0.0) -> Iterator[Servers]:
    """Start Postgres, and a store that responds to each put after `delay_ms` and stores nothing (`bench.sink`)."""
    with postgres_server(directory) as postgres_url:
        command = [sys.executable, "-m", "bench.sink", str(delay_ms)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as sink:
            assert sink.stdout is not None
            port = int(sink.stdout.readline())
            try:
                s3 = S3Server(endpoint_url=f"http://127.0.0.1:{port}")
                yield Servers(s3=s3, endpoint_url=s3.endpoint_url, postgres_url=postgres_url, keeps=False)
            finally:
                sink.terminate()


def file_system(directory: Path) -> str:
    """Return the path and file system of a directory, for the head of a report."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(directory)], capture_output=True, text=True, check=False)
    return f"{directory} ({kind.stdout.strip() or 'unknown'})"


@contextmanager
def distant(endpoint_url: str, delay_ms: float) -> Iterator[str]:
    """Yield the endpoint itself, or a proxy in its own process that delays every request."""
    if not delay_ms:
        yield endpoint_url
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_proxy, args=(endpoint_url, delay_ms / 1000, theirs))
    process.start()
    try:
        # Azurite's endpoint has the account in the path.
        yield f"{ours.recv()}{urlsplit(endpoint_url).path}"
    finally:
        ours.send(None)
        process.join()


def _proxy(endpoint_url: str, delay_seconds: float, parent: "Connection[str, None]") -> None:
    with fault_proxy(endpoint_url, delay_seconds=delay_seconds) as proxy:
        parent.send(proxy.url)
        parent.recv()


def client_environment() -> dict[str, str]:
    """Return the environment of every contender: the servers' credentials, without the user's own AWS or imgctl set-up.

    Python keeps its bytecode, as for an installed command: compiling it costs as much as the rest of a start.
    """
    own = ("AWS_", "IMGCTL_", "RCLONE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | AWS_ENVIRONMENT | {"AWS_REGION": REGION}


def beside_python(name: str) -> str:
    """Return the path of a program in the environment of this Python."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise SystemExit(f"{name} is missing beside {sys.executable}: pip install 'imgctl[bench,test]'")
    return str(path)


def spent(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run one child to its end and measure it; a failing child ends the bench."""
    launcher = [sys.executable, "-S", "-E", str(CHILD), *command]
    done = subprocess.run(launcher, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    used = json.loads(done.stdout)
    if used["code"]:
        raise SystemExit(f"{' '.join(command)} ended with {used['code']}")
    return Spent(wall=used["wall"], cpu=used["cpu"], peak_mib=used["peak_kib"] / 1024)


def medians(turns: Sequence[Spent]) -> Spent:
    """The median of each figure over the turns."""
    return Spent(
        wall=median(turn.wall for turn in turns),
        cpu=median(turn.cpu for turn in turns),
        peak_mib=median(turn.peak_mib for turn in turns),
    )


def scalar(url: str, query: str) -> int:
    """Return the single number of a query's result."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = int(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return found


def _run(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
