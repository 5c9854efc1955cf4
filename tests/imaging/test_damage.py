import random
from collections.abc import Callable, Iterator

import pytest

from bench.photos import scene
from imgctl.errors import ImageRejected, NotAnImage
from imgctl.imaging import largest_variant
from imgctl.imaging.decoders.choose import decodes
from imgctl.imaging.decoders.decode import Decoded, Limits, MemoryNeeded
from imgctl.imaging.probe import Probe, probe
from imgctl.imaging.render import Rendered, render
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe, Variant, VariantSpec
from tests.imaging.pictures import FINE, FORMATS, distance, encoded, full, quadrants
from tests.soak import rounds

SMALL = Recipe(variants=(VariantSpec(variant=Variant.THUMB, max_edge_px=24, quality=80),))
MUTATIONS_EACH = rounds(60, 1000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_a_truncated_picture_is_rendered_and_reported_as_damaged(kind: str) -> None:
    picture = scene(320, 240, seed=5, noise=9)
    whole = full(render(encoded(picture, kind), FINE))
    data = encoded(picture, kind)

    rendered = render(data[: len(data) * 3 // 4], FINE)

    assert rendered.damage is not None and "cut off" in rendered.damage
    # A BMP begins with its last row.
    kept = (0, 140, 320, 240) if kind == "BMP" else (0, 0, 320, 100)
    assert distance(full(rendered).crop(kept), whole.crop(kept)) < 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_single_memory_shortage_does_not_mark_a_picture_as_damaged(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [times]

    def short_of_memory(*arguments: object) -> Iterator[tuple[bool, Callable[[], Decoded]]]:
        (_, strict), *others = decodes(*arguments)  # type: ignore[arg-type]

        def first() -> Decoded:
            left[0] -= 1
            if left[0] >= 0:
                raise pyvips.Error("unable to call jpegload", "vips_tracked: out of memory -- size == 0MB")
            return strict()

        return iter(((False, first), *others))

    monkeypatch.setattr(largest_variant, "decodes", short_of_memory)

    rendered = render(encoded(scene(320, 240, seed=5, noise=9), "JPEG"), FINE)

    # After the second failure the file itself may need too much memory.
    assert (rendered.damage is None) == (times == 1)


@pytest.mark.parametrize(
    "message",
    [
        "vips_tracked: out of memory -- size == 747MB",
        "VipsJpeg: Insufficient memory (case 4)",
        "Not enough memory to decode tile",
        "Unsufficient memory",
        "GLib: failed to allocate 8388608 bytes",
    ],
)
def test_a_memory_shortage_does_not_mark_a_picture_as_undecodable(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Decoded:
        raise pyvips.Error("unable to call pngload", message)

    monkeypatch.setattr(largest_variant, "decodes", lambda *_: iter([(False, fail), (True, fail)]))

    with pytest.raises(MemoryError, match="needs more memory"):
        render(encoded(quadrants(), "PNG"), FINE)


def test_a_progressive_jpeg_for_which_too_little_memory_is_left_is_not_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> Decoded:
        raise pyvips.Error("unable to fetch from region", "VipsJpeg: Insufficient memory (case 4)")

    def too_large() -> Decoded:
        raise MemoryNeeded("decoding it takes about 1.0 GiB of memory")

    monkeypatch.setattr(largest_variant, "decodes", lambda *_: iter([(False, fail), (True, too_large)]))

    with pytest.raises(MemoryError, match="Insufficient memory"):
        render(encoded(quadrants(), "JPEG"), FINE)


@pytest.mark.parametrize("kind", ["WEBP", "HEIF", "AVIF"])
def test_a_truncated_picture_that_has_no_rows_is_rejected(kind: str) -> None:
    data = encoded(scene(320, 240, seed=5, noise=9), kind)

    with pytest.raises(ImageRejected, match="the file is"):
        render(data[: len(data) * 3 // 4], FINE)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_complete_picture_is_not_reported(kind: str) -> None:
    assert render(encoded(quadrants(), kind), FINE).damage is None


def test_a_missing_end_marker_costs_no_pixel() -> None:
    rendered = render(encoded(quadrants(), "JPEG")[:-2], FINE)

    assert distance(full(rendered), quadrants()) < 2


def test_trailing_bytes_are_not_reported() -> None:
    assert render(encoded(quadrants(), "JPEG") + b"a maker's trailer" * 99, FINE).damage is None


def test_padding_before_the_end_marker_is_not_reported() -> None:
    data = encoded(quadrants(), "JPEG")

    assert render(data[:-2] + bytes(30) + data[-2:], FINE).damage is None


def test_corrupt_jpeg_data_is_reported() -> None:
    data = bytearray(encoded(quadrants(640, 480), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\xd3" * 20

    assert render(bytes(data), FINE).damage is not None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "TIFF"])
def test_a_header_without_a_picture_is_rejected_with_a_plain_message(kind: str) -> None:
    data = encoded(quadrants(), kind)[:32]

    assert isinstance(probe(data), Probe)
    with pytest.raises(ImageRejected, match=r"^the picture cannot be decoded: the file .*\(decoder: ") as caught:
        render(data, FINE)
    assert caught.value.hint and "0x" not in caught.value.message


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "the file is empty"),
        (bytes(4096), "only zeros"),
        (b"%PDF-1.7 and so on", "a PDF document"),
        (b"%!PS-Adobe-3.0\n", "a PostScript document"),
        (b"dear diary, today\n", "plain text"),
        (b"BM, said the fox, and left for the hills of the county\n", "plain text"),
        (b"RIFF\x24\0\0\0ACONLIST", "no known format"),
        (b"PK\x03\x04 and a document", "a ZIP archive"),
    ],
)
def test_a_file_that_is_not_a_picture_is_rejected_with_its_kind(data: bytes, kind: str) -> None:
    for look in (probe, lambda data: render(data, FINE)):
        with pytest.raises(NotAnImage, match=kind):
            look(data)


def test_a_raw_without_pixels_is_probed_and_not_rendered() -> None:
    raw = b"II*\0\x10\0\0\0CR\x02\0" + bytes(400)

    assert probe(raw).extension == "cr2"
    with pytest.raises(ImageRejected):
        render(raw, FINE)


def mutated(data: bytes, rng: random.Random) -> Iterator[bytes]:
    for _ in range(MUTATIONS_EACH):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            copy[rng.randrange(len(copy))] = rng.randrange(256)
        if rng.random() < 0.2:
            del copy[rng.randrange(len(copy)) :]
        yield bytes(copy)


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_give_a_picture_or_an_imgctl_error(kind: str) -> None:
    rng = random.Random(f"flip {kind}")
    exif = {} if kind in {"GIF", "BMP"} else {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}
    outcomes: set[type] = set()

    for data in mutated(encoded(quadrants(32, 24), kind, **exif), rng):
        try:
            outcomes.add(type(render(data, SMALL, limits=Limits(max_pixels=100_000))))
        except (NotAnImage, ImageRejected) as error:
            assert error.message
            outcomes.add(type(error))

    assert Rendered in outcomes and outcomes <= {Rendered, NotAnImage, ImageRejected}
