"""`imgctl demo`: its pictures are upright, and the commands that it prints work as pasted."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

from tests.whole.deployment import Deployment

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("imgctl")


def _demo(directory: Path, *options: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGCTL_")}
    done = subprocess.run(
        [PROGRAM, "demo", "--directory", directory, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demos_pictures_are_upright_and_its_commands_work_as_pasted() -> None:
    with TemporaryDirectory(prefix="a demo with spaces ") as name:
        place = Path(name) / "album"
        printed = _demo(place).splitlines()
        thumbs = [path.read_bytes() for path in (place / "imgctl-data").rglob("*-thumb.jpg")]
        pasted = [line.strip() for line in printed if line.startswith("  ") and " serve " not in line]
        # In another directory, and without imgctl on PATH.
        listed = subprocess.run(
            " && ".join(pasted),
            shell=True,
            cwd="/",
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
        )

    assert len(thumbs) == 10
    assert all(_is_upright(thumb) for thumb in thumbs)
    assert len(pasted) == 2
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count(" ready ") == 10


@pytest.mark.parametrize("option", ["--catalog", "--store", "--store-endpoint-url"])
def test_an_option_that_names_another_archive_is_refused(embedded: Deployment, option: str) -> None:
    ran = embedded.run("demo", "--directory", "album", option, "file:///elsewhere")

    assert ran.code == 2
    assert "No such option" in ran.err
    assert option in ran.err
    assert not (embedded.directory / "album").exists()


def test_stdout_is_ndjson_on_request() -> None:
    with TemporaryDirectory() as name:
        printed = _demo(Path(name) / "album", "--json")

    assert [json.loads(line)["type"] for line in printed.splitlines()] == ["summary"]


def _is_upright(thumb: bytes) -> bool:
    """Whether the blue sky is above, the light below, and the sun in the upper half."""
    picture = Image.open(BytesIO(thumb)).convert("RGB")
    pixels = picture.tobytes()
    row = 3 * picture.width
    (above_red, _, above_blue), (below_red, _, _) = pixels[:3], pixels[row * (picture.height // 2) :][:3]
    sun = [at for at in range(0, len(pixels), 3) if pixels[at] > 230 and pixels[at + 2] < 120]
    return above_blue > 180 and above_red < 40 < below_red and bool(sun) and max(sun) < len(pixels) / 2
