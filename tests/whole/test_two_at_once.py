"""Two runs of one command at the same time have the same result as one."""

from collections import Counter
from pathlib import Path

from imgctl.model import Status
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, assert_whole


def test_two_workers_render_each_image_exactly_once(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run("upload", place_of(album), "--user", str(USER))
    puts: Counter[str] = Counter()

    def count(method: str, path: str, _number: int) -> Fault | None:
        if is_image_put(method, path):
            puts[path] += 1
        return None

    with fault_proxy(servers.store.endpoint_url, policy=count) as proxy:
        near = servers.through(proxy.url)
        results = [run.wait() for run in [near.start("work", "--drain", "--json") for _ in range(2)]]

    assert [result.code for result in results] == [0, 0]
    assert_whole(servers, album.values(), status=Status.READY)
    assert len(puts) == 3 * 20
    assert set(puts.values()) == {1}
    assert all(image.attempts == 1 for image in servers.images())
    assert sum(len(result.of("image")) for result in results) == 20


def test_two_uploads_of_one_tree_end_as_one(new_deployment: Deployment, album: dict[Path, bytes]) -> None:
    runs = [
        new_deployment.with_processes(number).start("upload", place_of(album), "--user", str(USER), "--json")
        for number in (1, 2)
    ]
    results = [run.wait() for run in runs]

    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    assert [result.summary["failed"] for result in results] == [0, 0]
    assert_whole(new_deployment, album.values(), status=Status.PROCESSING)
