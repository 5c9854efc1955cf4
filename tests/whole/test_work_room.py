"""What a machine lacks for a while, room in its temporary directory or a decoder, costs an image no attempt."""

import resource
import sys
from pathlib import Path

import pytest

from imgctl.imaging.formats import Format, is_installed
from imgctl.model import Image, Status
from tests.imaging.films import of_format
from tests.imaging.raws import dng
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Result

UPLOAD = ("upload", "--user", str(USER))
# Originals from 64 MiB on are decoded from a file in the temporary directory.
SPOOLED_BYTES = 64 * 2**20
LARGEST_FILE = SPOOLED_BYTES // 2


def limit_files() -> None:
    """Let this process and its children write no file that holds a spooled original: EFBIG, like a full disk's ENOSPC."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def _add_large(album: dict[Path, bytes], *, more: int = 0) -> None:
    """Add a photo that is spooled: bytes behind the end of a JPEG are ignored."""
    data = photo(100 + more)
    (place_of(album) / "1" / f"large-{more}.jpg").write_bytes(data + bytes(SPOOLED_BYTES + more - len(data)))


def _large(deployment: Deployment) -> Image:
    return next(image for image in deployment.images() if (image.bytes or 0) >= SPOOLED_BYTES)


def _warnings(result: Result) -> list[str]:
    return [line for line in result.err.splitlines() if "TMPDIR" in line]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_full_temporary_directory_costs_no_attempt(
    deployment: Deployment, album: dict[Path, bytes], pooled: bool
) -> None:
    _add_large(album)
    deployment.run(*UPLOAD, place_of(album))
    one = (deployment.with_pool() if pooled else deployment).with_settings(WORK_MAX_ATTEMPTS="1")

    full = one.start("work", "--drain", "--json", before=limit_files).wait()

    large = _large(deployment)
    assert (full.code, full.summary["failed"], full.summary["ready"]) == (3, 0, 20), full.err
    assert int(str(full.summary["deferred"])) >= 1
    assert full.summary["waiting"] == 1
    assert (large.status, large.attempts - large.forgiven, large.leased_until) == (Status.PROCESSING, 0, None)
    assert "no room for an original of 64.0 MiB" in (large.error or "")
    assert [one.environment()["TMPDIR"] in line for line in _warnings(full)] == [True]

    again = one.run("work", "--drain")

    large = _large(deployment)
    assert (again.code, _warnings(again)) == (0, []), again.err
    assert (large.status, large.error) == (Status.READY, None)


def test_a_backfill_leaves_what_has_no_room_to_the_next(deployment: Deployment, album: dict[Path, bytes]) -> None:
    for number in range(3):
        _add_large(album, more=number)
    deployment.run(*UPLOAD, place_of(album))
    deployment.run("work", "--drain")
    kept = {image.id: image.thumb_key for image in deployment.images()}

    full = deployment.start("backfill", "--force", "--json", before=limit_files).wait()

    assert (full.code, full.summary["failed"], full.summary["built"]) == (3, 0, 20), full.err
    assert (full.summary["deferred"], len(_warnings(full))) == (3, 1)
    assert {image.status for image in deployment.images()} == {Status.READY}
    assert {image.leased_until for image in deployment.images()} == {None}
    assert {image.id: image.thumb_key for image in deployment.images()} == kept

    again = deployment.run("backfill", "--force", "--json")

    assert (again.code, again.summary["built"]) == (0, 23), again.err


def lack_decoders() -> None:
    """Hide the decoders of films and camera raws, as on a machine without them."""
    is_installed.cache_clear()
    for name in ("av", "rawpy"):
        sys.modules[name] = None  # type: ignore[assignment]


def test_a_film_waits_for_a_machine_that_can_decode_it(deployment: Deployment, album: dict[Path, bytes]) -> None:
    place = place_of(album)
    (place / "film.mov").write_bytes(of_format(Format.MOV))
    (place / "raw.dng").write_bytes(dng())
    deployment.run(*UPLOAD, place)
    one = deployment.with_settings(WORK_MAX_ATTEMPTS="1")

    lacking = one.start("work", "--drain", "--json", before=lack_decoders).wait()

    waiting = [image for image in deployment.images() if image.status is Status.PROCESSING]
    assert (lacking.code, lacking.summary["failed"], lacking.summary["ready"]) == (3, 0, 20), lacking.err
    assert sorted((image.original_key or "")[-4:] for image in waiting) == [".dng", ".mov"]
    assert {image.attempts - image.forgiven for image in waiting} == {0}
    assert "pip install 'imgctl[video]'" in lacking.err

    again = one.run("work", "--drain")

    assert again.code == 0, again.err
    assert {image.status for image in deployment.images()} == {Status.READY}

    # A sample that this machine cannot render proves nothing about the variants.
    look = one.start("audit", "--look", "100", "--json", before=lack_decoders).wait()

    assert look.code == 0, look.out
