"""Every numeric setting at and beyond its bounds, from the table of settings."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest

from imgctl.config.load import load_settings
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError
from imgctl.model import Status
from tests.imaging.pictures import encoded, quadrants
from tests.whole.deployment import USER, Deployment

Number = tuple[str, str, float, float]


def numbers(node: object, path: str = "") -> Iterator[Number]:
    """Each numeric setting: its path, unit and bounds."""
    assert is_dataclass(node)
    for field in fields(node):
        value, name = getattr(node, field.name), f"{path}.{field.name}".lstrip(".")
        if is_dataclass(value):
            yield from numbers(value, name)
        elif field.metadata and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, field.metadata["unit"], field.metadata["least"], field.metadata["most"]


NUMBERS = list(numbers(Settings()))
RUN = [one for one in NUMBERS if not one[0].startswith("serve.")]
UPLOADS = [one for one in NUMBERS if one[0].startswith("upload.")]


def variables(chosen: dict[str, float]) -> dict[str, str]:
    return {
        name.replace(".", "_").upper(): f"{value:.0f}" if value >= 1 else str(value) for name, value in chosen.items()
    }


@pytest.mark.parametrize(("name", "unit", "least", "most"), NUMBERS, ids=[one[0] for one in NUMBERS])
def test_a_number_out_of_bounds_names_both(name: str, unit: str, least: float, most: float) -> None:
    assert least is not None and most is not None
    for fine in (least, most):
        load_settings(environ={}, flags={name: fine})
    for beyond in (least - 1, least - 0.001 if unit == "seconds" else least - 1, most + 1):
        with pytest.raises(ConfigError, match=rf"{name}: .* is (below|above) .* to .*") as raised:
            load_settings(environ={}, flags={name: beyond})
        assert raised.value.exit_code == 2


@pytest.mark.parametrize("bound", [2, 3], ids=["least", "most"])
def test_uploads_and_work_run_with_every_number_at_its_bound(embedded: Deployment, bound: int) -> None:
    photo = embedded.directory / "a.jpg"
    photo.write_bytes(encoded(quadrants(), "JPEG"))
    # A limit of one pixel rejects every picture; a separate test covers it.
    chosen = {one[0]: one[2:][bound - 2] for one in RUN if one[0] != "work.max_pixels"}
    deployment = embedded.with_pool().with_settings(**variables(chosen), LOG_FILE=str(embedded.directory / "log"))

    for command in (["upload", photo, "--user", str(USER)], ["work", "--drain"], ["backfill", "--yes"], ["ls"]):
        result = deployment.run(*command)
        assert (result.code, "Traceback" in result.err) == (0, False), result.err


def test_a_limit_of_one_pixel_fails_the_picture_with_the_reason(embedded: Deployment) -> None:
    photo = embedded.directory / "a.jpg"
    photo.write_bytes(encoded(quadrants(), "JPEG"))
    embedded.run("upload", photo, "--user", str(USER))

    result = embedded.with_settings(WORK_MAX_PIXELS="1").run("work", "--drain")

    (row,) = embedded.images()
    assert (result.code, row.status, row.attempts) == (3, Status.FAILED, 1)
    assert "raise [work] max_pixels" in (row.error or "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((one[0], value) for one in UPLOADS for value in one[2:]),
        *(("upload.concurrency", n) for n in (1, 255, 256, 257)),
    ],
)
def test_each_number_of_uploads_at_its_bounds(embedded: Deployment, name: str, value: float) -> None:
    photo = embedded.directory / "a.jpg"
    photo.write_bytes(encoded(quadrants(), "JPEG"))

    result = embedded.with_settings(**variables({name: value})).run("upload", photo, "--user", str(USER))

    assert result.code == 0, result.err
    assert len(embedded.images()) == 1
