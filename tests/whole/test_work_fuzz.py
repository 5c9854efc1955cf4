"""Damaged pictures of every format, uploaded and worked end to end: each row ends ready or failed, in plain words."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from imgctl.model import Status
from tests.imaging.films import KEPT, of_format
from tests.imaging.pictures import FORMATS, encoded, quadrants
from tests.imaging.raws import RAWS
from tests.imaging.stills import STILLS
from tests.soak import rounds
from tests.whole.deployment import USER, Deployment

MUTATIONS_EACH = rounds(25, 200)
# Each part has this many files of each of 49 kinds of raws and stills, and of each of 9 kinds of films.
PARTS, OF_RAWS_AND_STILLS, OF_FILMS = rounds(1, 14), 6, 24
SMALL_SENSOR = (96, 64)
HEADER_BYTES = 1024


def _mutated(data: bytes, rng: random.Random) -> bytes:
    copy = bytearray(data)
    for _ in range(rng.choice((1, 2, 5, 20))):
        # The first bytes stay intact: without them the file would not be recognised and uploaded.
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

    worked = embedded.with_pool().with_settings(WORK_MAX_PIXELS="1_000_000").run("work", "--drain", "--json")

    images = embedded.images()
    assert len(images) == uploaded.summary["uploaded"]
    assert len(images) > MUTATIONS_EACH
    assert worked.code == 3, worked.err
    assert {image.status for image in images} == {Status.READY, Status.FAILED}
    assert all(image.leased_until is None and image.attempts == 1 for image in images)
    assert all(len((image.error or "").split()) > 3 for image in images if image.status is Status.FAILED)


def _mutated_anywhere(data: bytes, rng: random.Random) -> bytes:
    """Damage a file: in the directories as often as in the pixels; truncate it; make a number of four bytes huge."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 3, 10))):
        end = len(copy) if rng.random() < 0.3 else min(len(copy), HEADER_BYTES)
        at = rng.randrange(12, end)
        copy[at : at + 4] = rng.choice(
            (bytes([rng.randrange(256)]), b"\xff\xff\xff\x7f", b"\0\0\0\0", rng.randbytes(4))
        )
    if rng.random() < 0.2:
        del copy[rng.randrange(32, len(copy)) :]
    return bytes(copy)


def _raws_and_stills() -> dict[str, bytes]:
    whole = {name: made(size=SMALL_SENSOR) for name, (_, made) in RAWS.items()}
    return whole | {name.replace(" ", "-"): made() for name, (_, made) in STILLS.items()}


def _films() -> dict[str, bytes]:
    return {name: of_format(name, black=2) for name in KEPT}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(
    ("seed", "made", "each"),
    [("raws and stills", _raws_and_stills, OF_RAWS_AND_STILLS), ("films", _films, OF_FILMS)],
    ids=["raws and stills", "films"],
)
def test_damaged_files_end_ready_or_failed_and_no_worker_outgrows_its_memory(
    embedded: Deployment, tmp_path: Path, seed: str, made: Callable[[], dict[str, bytes]], each: int, part: int
) -> None:
    rng, whole = random.Random(f"{seed} {part}"), made()
    place = tmp_path / "damaged"
    place.mkdir()
    for name, data in whole.items():
        for number in range(each):
            (place / f"{name}-{number}.bin").write_bytes(_mutated_anywhere(data, rng))
    uploaded = embedded.run("upload", place, "--user", str(USER), "--json")

    # The kernel limits the memory of each child: one that exceeds it fails alone, with its image.
    limited = embedded.with_pool().with_settings(
        WORK_MAX_PIXELS="50_000_000", WORK_MEMORY="1GiB", WORK_MAX_ATTEMPTS="2", WORK_LEASE="60s"
    )
    worked = limited.run("work", "--drain", "--json")

    images = embedded.images()
    assert len(images) == uploaded.summary["uploaded"]
    assert len(images) > len(whole) * each // 2
    assert worked.code == 3, worked.err
    assert {image.status for image in images} == {Status.READY, Status.FAILED}
    assert all(image.leased_until is None for image in images)
    assert all(len((image.error or "").split()) > 3 for image in images if image.status is Status.FAILED)
    died = {image.name: image.error or "" for image in images if image.attempts > 1}
    # LibRaw 0.22 reads beyond its memory if the sensor's pixels of an X3F are damaged; no other damage may end a child.
    assert all(name.startswith("x3f-") and "crashed (SIGSEGV)" in error for name, error in died.items() if name), died
