from pathlib import Path

import pytest

from imgctl.imaging.decoders.decode import Limits
from tests.imaging.pictures import encoded, quadrants
from tests.imaging.tiffs import RGB, Layout, tiff
from tools import compare


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for kind in ("JPEG", "PNG", "WEBP", "HEIF", "TIFF"):
        (tmp_path / f"a.{kind.lower()}").write_bytes(encoded(quadrants(640, 480), kind))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_pictures_that_all_decoders_render_alike_are_not_reported(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([str(album)]) == 0

    assert capsys.readouterr().out == "5 pictures: 5 alike\n"


def test_a_picture_that_another_decoder_renders_differently_is_reported(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A saved selection: libvips renders it as transparency.
    selected = Layout(photometric=RGB, bands=4, extra=(0,))
    (album / "selected.tif").write_bytes(tiff(selected, [[(200, 50, 30, 0), (30, 60, 200, 0)] * 32] * 64))

    assert compare.main([str(album)]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{album / 'selected.tif'}: libvips: mean difference")
    assert lines[1:] == ["6 pictures: 5 alike, 1 unlike one decoder"]


def test_a_refused_picture_that_other_decoders_render_is_reported(
    album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "LIMITS", Limits(max_pixels=1000))

    assert compare.main([str(album)]) == 1

    assert "imgctl refuses it" in capsys.readouterr().out


def test_a_random_sample_is_reproducible(album: Path) -> None:
    some = [compare.pictures([album], number=2, seed=seed) for seed in (1, 1, 2, 3, 4)]

    assert some[0] == some[1]
    assert len({tuple(one) for one in some}) > 1
