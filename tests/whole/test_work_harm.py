"""Pictures that kill, hang or exhaust their rendering process: only these fail, and all others are rendered."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as Pillow

from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Image, Status
from tests.imaging.pictures import encoded
from tests.parts.proxy import Fault, fault_proxy
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment
from tests.whole.working import MIB, order_for, signal_the_child, vast_png, work_in_one_child

UPLOAD = ("upload", "--user", str(USER))


def _culprit_and_others(deployment: Deployment, key: str | None) -> tuple[Image, list[Image]]:
    images = deployment.images()
    culprit = next(image for image in images if image.original_key == key)
    return culprit, [image for image in images if image is not culprit]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, "rendering killed by signal 9 (SIGKILL): out of memory?"),
        (signal.SIGSEGV, "rendering crashed (SIGSEGV)"),
    ],
)
def test_a_picture_that_kills_its_process_is_blamed_alone(
    servers: Deployment, album: dict[Path, bytes], number: int, message: str
) -> None:
    servers.run(*UPLOAD, place_of(album))
    poison = servers.images()[10].original_key or ""

    def kill_whoever_fetches_it(method: str, path: str, _number: int) -> Fault | None:
        if method != "GET" or not path.endswith(poison):
            return None
        signal_the_child(number)
        return Fault.STALL

    with fault_proxy(servers.store.endpoint_url, policy=kill_whoever_fetches_it) as proxy:
        far = servers.through(proxy.url)
        outcomes = work_in_one_child(far, replace(order_for(far), max_attempts=2))

    culprit, others = _culprit_and_others(servers, poison)
    assert (culprit.status, culprit.error) == (Status.FAILED, f"gave up after 2 attempts: {message}")
    # A death costs an attempt; another attempt, alone, identifies the harmful picture of a batch.
    assert culprit.attempts == 2
    assert proxy.faults["GET"] == 3
    assert {(image.status, image.attempts, image.error) for image in others} == {(Status.READY, 1, None)}
    assert len(outcomes) == 19 + 2


@pytest.mark.parametrize(
    ("picture", "timeout_seconds", "message"),
    [
        pytest.param(vast_png(10_000), 3, "rendering took longer than its time limit", id="hangs"),
        pytest.param(vast_png(8_500, interlaced=True), 60, "memory", id="fills-memory"),
    ],
)
def test_a_picture_that_hangs_or_takes_too_much_is_blamed_alone(
    embedded: Deployment, album: dict[Path, bytes], picture: bytes, timeout_seconds: float, message: str
) -> None:
    (place_of(album) / "1" / "vast.png").write_bytes(picture)
    embedded.run(*UPLOAD, place_of(album))
    vast = next(image for image in embedded.images() if image.content_type == "image/png")

    order = replace(order_for(embedded), timeout_seconds=timeout_seconds)
    work_in_one_child(embedded, order, memory_bytes=512 * MIB)

    culprit, others = _culprit_and_others(embedded, vast.original_key)
    assert (culprit.status, culprit.attempts) == (Status.FAILED, 1)
    assert message in (culprit.error or "")
    assert {(image.status, image.attempts, image.error) for image in others} == {(Status.READY, 1, None)}


def test_a_picture_that_cannot_fit_is_refused_once_and_names_the_setting(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    (place_of(album) / "1" / "vast.webp").write_bytes(encoded(Pillow.new("RGB", (6000, 5000), "teal"), "WEBP"))
    embedded.run(*UPLOAD, place_of(album))
    vast = next(image for image in embedded.images() if image.content_type == "image/webp")

    order = replace(order_for(embedded), max_attempts=5, limits=Limits(memory_bytes=512 * MIB))
    work_in_one_child(embedded, order, memory_bytes=512 * MIB)

    culprit, others = _culprit_and_others(embedded, vast.original_key)
    assert (culprit.status, culprit.attempts) == (Status.FAILED, 1)
    assert "raise [work] memory" in (culprit.error or "")
    assert {image.status for image in others} == {Status.READY}
