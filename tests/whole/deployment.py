"""Runs imgctl like its users: in separate processes, with a catalog and a store that are embedded or real servers."""

import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from imgctl.config.catalog_store import StoreSettings
from imgctl.keys import PROBES
from imgctl.model import Image, Status, Variant
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from tests.parts.forks import Fork, fork
from tests.parts.proxy import Fault, fault_proxy
from tests.store.catalog.rows import walk

USER = UUID("0190b2b4-0000-7000-8000-000000000001")
FOREVER = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The output and exit code of a finished run."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, kind: str) -> list[dict[str, object]]:
        return [record for record in self.records if record["type"] == kind]

    @property
    def summary(self) -> dict[str, object]:
        return self.records[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A running command."""

    process: Fork
    out: Path
    err: Path

    def kill(self) -> None:
        """Send `kill -9` at once."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, signal.SIGKILL)

    def wait(self, seconds: float = FOREVER) -> Result:
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running after {seconds} s: {self.err.read_text()}"
        return Result(code=self.process.exitcode, out=self.out.read_text(), err=self.err.read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A directory to run in, a catalog and a store; its commands see no other settings of the machine."""

    directory: Path
    catalog_url: str
    store: StoreSettings
    settings: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str | Path, before: Callable[[], None] | None = None) -> Run:
        """Start `imgctl` with these arguments in a process of its own, where `before` is called first."""
        out = _next_file(self.directory)
        err = out.with_suffix(".err")
        # A run may be killed before it opens its files.
        err.touch()
        command = _Command(
            arguments=tuple(map(str, arguments)),
            environment=self.environment(),
            directory=self.directory,
            out=out,
            err=err,
            before=before,
        )
        return Run(process=fork(_main, command), out=out, err=err)

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        return {
            "IMGCTL_CATALOG_URL": self.catalog_url,
            "IMGCTL_STORE_URL": self.store.url,
            "IMGCTL_STORE_ENDPOINT_URL": self.store.endpoint_url,
            # Most tests do not test the pool, whose start costs as much as eight commands: see `with_pool`.
            "IMGCTL_WORK_SCHEDULER": "inline",
            "IMGCTL_WORK_JOBS": "1",
            "IMGCTL_WORK_LEASE": "1s",
            "HOME": str(self.directory),
            "TMPDIR": tempfile.gettempdir(),
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            **self.settings,
        }

    def run(self, *arguments: str | Path) -> Result:
        """Run `imgctl` to its end."""
        return self.start(*arguments).wait()

    def through(self, endpoint_url: str) -> "Deployment":
        """Return the same deployment with another endpoint of its store."""
        # Azurite's endpoint has the account in the path.
        path = urlsplit(self.store.endpoint_url).path
        return replace(self, store=replace(self.store, endpoint_url=f"{endpoint_url}{path}"))

    def with_settings(self, **settings: str) -> "Deployment":
        """Return the same deployment with more environment variables, named without their `IMGCTL_`."""
        return replace(self, settings=self.settings | {f"IMGCTL_{name}": value for name, value in settings.items()})

    def with_pool(self) -> "Deployment":
        """Return the same deployment, rendering in a child process as on users' machines, not in the command's own."""
        return self.with_settings(WORK_SCHEDULER="")

    def with_processes(self, count: int) -> "Deployment":
        """Return the same deployment, uploading with so many processes."""
        return self.with_settings(UPLOAD_PROCESSES=str(count))

    def in_environment(self, **variables: str) -> "Deployment":
        """Return the same deployment with more environment variables."""
        return replace(self, settings=self.settings | variables)

    def open_store(self) -> BlobStore:
        return open_store(self.store)

    def images(self) -> list[Image]:
        """Every row, in the order of ids."""
        catalog = open_catalog(self.catalog_url)
        try:
            with catalog.read() as connection:
                return walk(connection)
        finally:
            catalog.close()


def assert_whole(deployment: Deployment, contents: Iterable[bytes], *, status: Status, users: int = 1) -> None:
    """Assert one row and one original per user and content, all in `status`, and no orphaned blob."""
    images, store = deployment.images(), deployment.open_store()
    originals = {image.original_key: store.get(image.original_key or "") for image in images}

    assert sorted(originals.values()) == sorted([*set(contents)] * users)
    assert len({(image.user_id, image.sha256) for image in images}) == len(images)
    assert {image.original_key: image.sha256 for image in images} == {
        key: sha256(data).digest() for key, data in originals.items()
    }
    assert {image.status for image in images} <= {status}
    # A kill may leave the small object of the put-if-absent test.
    found = {blob.key for blob in store.scan() if not blob.key.startswith(PROBES)}
    assert found == set(originals) | variant_keys(images)


def variant_keys(images: Iterable[Image]) -> set[str]:
    """Return the keys of the variants in all rows."""
    keys = (image.key(variant) for image in images for variant in Variant)
    return {key for key in keys if key is not None}


def _next_file(directory: Path) -> Path:
    """Return a new file for a run's output, also if several runs start at once."""
    for number in count(len(list(directory.glob("*.out")))):
        with suppress(FileExistsError):
            (directory / f"{number}.out").touch(exist_ok=False)
            break
    return directory / f"{number}.out"


def kill_when(run: Run, finished: Callable[[], bool]) -> None:
    """Kill a run as soon as `finished` returns true, unless it ends before."""
    deadline = time.monotonic() + FOREVER
    while in_time := time.monotonic() < deadline:
        if run.process.exitcode is not None or finished():
            break
        run.process.join(0.001)
    run.kill()
    run.process.join()
    assert in_time, f"nothing to kill it at within {FOREVER} s: {run.err.read_text()}"


def kill_at_a_request(deployment: Deployment, command: list[str], requests: int, rng: random.Random) -> None:
    """Kill a run at its n-th request to the store: before it is executed, or after it and before the response."""
    chosen, fault = rng.randrange(requests), rng.choice([Fault.RESET, Fault.LOST_RESPONSE])
    running: list[Run] = []

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        if number < chosen:
            return None
        if fault is Fault.RESET:
            running[0].kill()
        return fault

    with fault_proxy(deployment.store.endpoint_url, policy=policy) as proxy:
        running.append(deployment.through(proxy.url).start(*command))
        kill_when(running[0], lambda: proxy.faults.total() > 0)

    assert running[0].process.exitcode == -9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """The arguments and environment of a process."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    out: Path
    err: Path
    before: Callable[[], None] | None


def enter(environment: dict[str, str], directory: Path) -> None:
    """Enter a deployment's directory and set its settings and no others."""
    for name in [name for name in os.environ if name.startswith(("IMGCTL_", "AWS_"))]:
        del os.environ[name]
    os.environ.update(environment)
    # Cleared, because the fork server may have cached its own.
    tempfile.tempdir = None
    os.chdir(directory)


def _main(command: _Command) -> None:
    from imgctl.cli.main import main

    enter(command.environment, command.directory)
    # The stream objects are replaced, not the descriptors: a child of this process must not hold the files open.
    with (
        command.out.open("w") as stdout,
        command.err.open("w") as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        sys.stdin = io.StringIO()
        if command.before:
            command.before()
        main(command.arguments)
