"""`imgctl work` on a Dask cluster: the same variants as with local processes, whichever process dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.model import Image, Status, Variant
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.parts.seaweed import AWS_ENVIRONMENT
from tests.run.dask_cluster import dask_cluster, scheduler_process
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Run, assert_whole, kill_when

UPLOAD = ("upload", "--user", str(USER))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster whose workers have their own credentials."""
    with dask_cluster(tmp_path_factory.mktemp("dask"), **AWS_ENVIRONMENT) as address:
        yield address


def _variants(deployment: Deployment, image: Image) -> dict[str, bytes]:
    store = deployment.open_store()
    return {variant: store.get(image.key(variant) or "") for variant in Variant}


def test_a_cluster_makes_what_local_processes_make(
    servers: Deployment, tmp_path: Path, album: dict[Path, bytes], scheduler: str
) -> None:
    embedded = Deployment(
        directory=servers.directory,
        catalog_url=f"sqlite:///{tmp_path}/catalog.db",
        store=StoreSettings(url=f"file://{tmp_path}/blobs"),
        settings={"IMGCTL_UPLOAD_JOURNAL": "none"},
    )
    for deployment in (servers, embedded):
        deployment.run(*UPLOAD, place_of(album))

    local = embedded.with_pool().run("work", "--drain")
    remote = servers.run("work", "--drain", "--scheduler", scheduler, "--json")

    assert (local.code, remote.code) == (0, 0), local.err + remote.err
    assert remote.summary["ready"] == 20
    assert_whole(servers, album.values(), status=Status.READY)
    ours = {image.sha256: _variants(servers, image) for image in servers.images()}
    assert ours == {image.sha256: _variants(embedded, image) for image in embedded.images()}


def test_a_lost_worker_and_a_killed_driver_cost_only_leases(
    servers: Deployment, tmp_path: Path, scheduler: str
) -> None:
    contents = [photo(number) for number in range(60)]
    for number, data in enumerate(contents):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    servers.run(*UPLOAD, *tmp_path.glob("*.jpg"))
    running: list[Run] = []
    workers = _worker_processes(scheduler)
    puts: list[str] = []

    def policy(method: str, path: str, _number: int) -> Fault | None:
        if not is_image_put(method, path):
            return None
        puts.append(path)
        if len(puts) == 10:
            os.kill(workers[0], signal.SIGKILL)
        if len(puts) == 90:
            running[0].kill()
        return None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        running.append(servers.through(proxy.url).start("work", "--drain", "--scheduler", scheduler))
        kill_when(running[0], lambda: len(puts) > 90)
    again = servers.run("work", "--drain", "--scheduler", scheduler)

    assert running[0].process.exitcode == -signal.SIGKILL
    assert again.code == 0, again.err
    assert_whole(servers, contents, status=Status.READY)


def test_a_scheduler_that_is_gone_costs_only_leases(servers: Deployment, tmp_path: Path, scheduler: str) -> None:
    contents = [photo(number) for number in range(40)]
    for number, data in enumerate(contents):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    servers.run(*UPLOAD, *tmp_path.glob("*.jpg"))
    (place := tmp_path / "cluster").mkdir()
    puts: list[str] = []
    with dask_cluster(place, **AWS_ENVIRONMENT) as address:
        process = scheduler_process(place)

        def policy(method: str, path: str, _number: int) -> Fault | None:
            if not is_image_put(method, path):
                return None
            puts.append(path)
            if len(puts) == 20:
                os.kill(process, signal.SIGKILL)
            return None

        with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
            lost = servers.through(proxy.url).run("work", "--drain", "--scheduler", address)
    again = servers.run("work", "--drain", "--scheduler", scheduler)

    assert lost.code == 1
    assert "scheduler" in lost.err.lower()
    assert again.code == 0, again.err
    assert_whole(servers, contents, status=Status.READY)


def _worker_processes(scheduler: str) -> list[int]:
    import distributed

    client: Any = distributed.Client
    with client(scheduler, timeout=60, set_as_default=False) as connected:
        connected.wait_for_workers(2, timeout=60)
        return [int(one) for one in connected.run(os.getpid).values()]
