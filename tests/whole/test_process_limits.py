"""Limits that a shell or a service manager sets: open files, the size of files, and the mode of new files."""

import os
import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from imgctl.model import Status
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole
from tests.whole.test_serve import address, ended, send

# More than puts in flight at once.
MANY = 150
UPLOAD = ("upload", "--user", str(USER))


@pytest.fixture
def photos(tmp_path: Path) -> dict[Path, bytes]:
    """A directory of many photos."""
    place = tmp_path / "photos"
    place.mkdir()
    contents = {place / f"{number}.jpg": photo(number) for number in range(MANY)}
    for path, data in contents.items():
        path.write_bytes(data)
    return contents


def limit(kind: int, soft: int, hard: int) -> None:
    resource.setrlimit(kind, (soft, hard))


def limited(kind: int, soft: int, hard: int | None = None) -> Callable[[], None]:
    return partial(limit, kind, soft, soft if hard is None else hard)


def test_a_soft_limit_of_open_files_is_raised(embedded: Deployment, photos: dict[Path, bytes]) -> None:
    few = limited(resource.RLIMIT_NOFILE, 32, 2048)
    uploaded = embedded.start(*UPLOAD, next(iter(photos)).parent, before=few).wait()
    doctor = embedded.start("doctor", "--json", before=few).wait()
    [files] = [one for one in doctor.of("check") if one["name"] == "files"]

    assert uploaded.code == 0, uploaded.err
    assert str(files["detail"]).startswith("2048 ")
    assert_whole(embedded, photos.values(), status=Status.PROCESSING)


def test_too_few_open_files_fail_with_the_next_step_and_lose_nothing(
    embedded: Deployment, photos: dict[Path, bytes]
) -> None:
    assert embedded.run("init").code == 0
    place = next(iter(photos)).parent
    failed = embedded.start(*UPLOAD, place, before=limited(resource.RLIMIT_NOFILE, 24)).wait()
    again = embedded.run(*UPLOAD, place)

    assert failed.code in {1, 3}
    assert "ulimit -Hn" in failed.err
    assert "hard links" not in failed.err
    assert again.code == 0, again.err
    assert_whole(embedded, photos.values(), status=Status.PROCESSING)


def test_a_server_without_file_descriptors_says_so_once_and_serves_again(embedded: Deployment) -> None:
    run = embedded.start("serve", "--port", "0", "--json", before=limited(resource.RLIMIT_NOFILE, 64))
    url = address(run)
    place = urlsplit(url)
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(socket.create_connection((place.hostname or "", place.port or 0)))
        while "new connections wait" not in run.err.read_text():
            run.process.join(0.02)
            assert run.process.exitcode is None, run.err.read_text()
    sent = send(url, photo(1))

    assert sent.status_code == 201
    assert ended(run) == 0
    assert run.err.read_text().count("ulimit -Hn") == 1
    assert "Traceback" not in run.err.read_text()


# The catalog does not fit, or a photo.
@pytest.mark.parametrize("size", [2**10, 2**20])
def test_a_limit_of_the_size_of_files_is_named_and_loses_nothing(
    embedded: Deployment, album: dict[Path, bytes], size: int
) -> None:
    place = place_of(album)
    large = next(iter(album))
    contents = album | {large: album[large] + bytes(2**21)}
    large.write_bytes(contents[large])
    failed = embedded.start(*UPLOAD, place, before=limited(resource.RLIMIT_FSIZE, size)).wait()
    again = embedded.run(*UPLOAD, place)

    assert failed.code == 1
    assert "ulimit -f" in failed.err.splitlines()[-1]
    assert again.code == 0, again.err
    assert_whole(embedded, contents.values(), status=Status.PROCESSING)


@pytest.mark.parametrize("mask", [0o077, 0o000])
def test_the_state_directory_belongs_to_its_user_alone(
    embedded: Deployment, album: dict[Path, bytes], mask: int
) -> None:
    run = embedded.start(*UPLOAD, place_of(album), before=partial(_set_mask, mask))

    assert run.wait().code == 0
    assert (embedded.directory / ".local/state/imgctl").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o002 for path in (embedded.directory / "blobs").rglob("*.jpg")} == {0}


def _set_mask(mask: int) -> None:
    os.umask(mask)
