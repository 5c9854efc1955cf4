"""A wrong camera clock never hides a photo from an audit."""

import os
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment

EXIF, DATE_TIME_ORIGINAL = 0x8769, 0x9003
YEARS = (1955, 2020, 2099, 9999)


def taken_in(year: int) -> bytes:
    """Return a JPEG with a capture time in this year."""
    picture, buffer = Image.open(BytesIO(photo(year % 256))), BytesIO()
    exif = picture.getexif()
    exif.get_ifd(EXIF)[DATE_TIME_ORIGINAL] = f"{year}:05:01 10:00:00"
    picture.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_originals_of_every_date_are_missed(deployment: Deployment, tmp_path: Path) -> None:
    for year in YEARS:
        path = tmp_path / "album" / f"{year}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(taken_in(year))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    said = deployment.run("upload", tmp_path / "album", "--user", str(USER), "--uploaded-at", "taken", "--json")
    deployment.open_store().delete([image.original_key or "" for image in deployment.images()])
    promised_earlier(deployment, timedelta(seconds=3))

    result = deployment.run("audit", "--grace", "2s", "--json")

    assert [image.uploaded_at.year for image in deployment.images()] == [1970, 2020, 2023, 2023]
    assert {Path(str(one["path"])).stem for one in said.of("file") if one["date_unlikely"]} == {"2099", "9999"}
    assert said.summary["dates_unlikely"] == 2
    assert (result.code, result.summary["codes"]) == (4, {"missing_original": 4})


def promised_earlier(deployment: Deployment, by: timedelta) -> None:
    """Set `promised_at` of the rows back, instead of waiting."""
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).values(promised_at=datetime.now(UTC) - by))
    catalog.close()


@pytest.mark.parametrize("text", ["2024", "20261122", "3600"])
def test_a_number_is_no_time(embedded: Deployment, text: str) -> None:
    result = embedded.run("find", "--until", text)

    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "ambiguous time" in result.err


@pytest.mark.parametrize("option", ["--since", "--until", "--taken-since", "--taken-until"])
@pytest.mark.parametrize("command", ["find", "find --user", "stats", "history"])
def test_the_first_and_the_last_moment_are_times_and_what_lies_beyond_is_refused(
    deployment: Deployment, option: str, command: str
) -> None:
    if "taken" in option and not command.startswith("find"):
        pytest.skip("only of find")
    name, *user = command.split()
    arguments = [name, *user, *([str(USER)] if user else []), option]
    more = ["--all-users"] if "taken" in option else []

    codes = {
        text: deployment.run(*arguments, text, *more).code
        for text in (
            *("0001-01-01", "9999-12-31T23:59:59.999999"),
            *("0001-01-01T00:00+14:00", "9999-12-31T23:59:59-05:00"),
        )
    }

    assert [*codes.values()] == [0, 0, 2, 2]
