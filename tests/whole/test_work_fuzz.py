"""Damaged pictures of every format, uploaded and worked end to end: each row ends ready or failed, in plain words."""

import random
from pathlib import Path

import pytest

from imgctl.model import Status
from tests.imaging.pictures import FORMATS, encoded, quadrants
from tests.soak import rounds
from tests.whole.deployment import USER, Deployment

MUTATIONS_EACH = rounds(25, 200)


def _mutated(data: bytes, rng: random.Random) -> bytes:
    copy = bytearray(data)
    for _ in range(rng.choice((1, 2, 5, 20))):
        # The first bytes tell the format: without them it would not be uploaded.
        copy[rng.randrange(16, len(copy))] = rng.randrange(256)
    if rng.random() < 0.2:
        del copy[rng.randrange(32, len(copy)) :]
    return bytes(copy)


@pytest.mark.parametrize("half", [0, 1])
def test_damaged_pictures_end_ready_or_failed_and_the_worker_lives(
    embedded: Deployment, tmp_path: Path, half: int
) -> None:
    rng = random.Random(f"fuzz {half}")
    place = tmp_path / "damaged"
    place.mkdir()
    for kind in FORMATS[half::2]:
        data = encoded(quadrants(32, 24), kind)
        for number in range(MUTATIONS_EACH):
            (place / f"{kind}-{number}.bin").write_bytes(_mutated(data, rng))
    uploaded = embedded.run("upload", place, "--user", str(USER), "--json")

    worked = embedded.with_settings(WORK_MAX_PIXELS="1_000_000").run("work", "--drain", "--json")

    images = embedded.images()
    assert len(images) == uploaded.summary["uploaded"]
    assert len(images) > MUTATIONS_EACH
    assert worked.code == 3, worked.err
    assert {image.status for image in images} == {Status.READY, Status.FAILED}
    assert all(image.leased_until is None and image.attempts == 1 for image in images)
    assert all(len((image.error or "").split()) > 3 for image in images if image.status is Status.FAILED)
