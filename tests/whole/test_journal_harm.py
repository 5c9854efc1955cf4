"""Uploads with an unusable journal: it is only a cache, so they still upload."""

import os
from pathlib import Path

import pytest

from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment


@pytest.mark.parametrize("home", ["/proc/nobody", "file", ""])
def test_a_home_that_cannot_be_written_stops_no_upload(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path, home: str
) -> None:
    (tmp_path / "file").touch()
    place = str(tmp_path / home) if home == "file" else home
    elsewhere = Deployment(
        directory=embedded.directory,
        catalog_url=embedded.catalog_url,
        store=embedded.store,
        settings=embedded.settings | {"HOME": place, "XDG_STATE_HOME": ""},
    )

    results = [elsewhere.run("upload", place_of(album), "--user", str(USER)) for _ in range(2)]

    assert [result.code for result in results] == [0, 0], results[0].err
    assert len(embedded.images()) == 20
    assert all(result.err.count("cannot be used") == bool(home) for result in results), results[0].err


def test_a_damaged_journal_stops_no_upload(embedded: Deployment, album: dict[Path, bytes]) -> None:
    file = embedded.directory / "journal.db"
    file.write_bytes(os.urandom(9000))

    first = embedded.run("upload", place_of(album), "--user", str(USER), "--journal", file)
    second = embedded.run("upload", place_of(album), "--user", str(USER), "--journal", file)

    assert (first.code, second.code) == (0, 0)
    assert "moved to" in first.err
    assert "journal" not in second.err
