"""A family's archive: Live Photos of an iPhone, raws beside JPEGs, scans, and a film of Google Takeout."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image as Pixels

from imgctl.imaging.formats import KNOWN, Format, is_installed
from imgctl.model import Image, Status
from imgctl.store.catalog.engine import open_catalog
from tests.imaging.films import KEPT, apple_exif, film, made_at, of_format, with_keys
from tests.imaging.pictures import encoded, quadrants
from tests.imaging.raws import RAWS, cr3
from tests.imaging.stills import STILLS, photoshop
from tests.store.catalog.rows import requeue
from tests.whole.deployment import USER, Deployment
from tests.whole.staged import Frozen, frozen

__all__ = ["frozen"]

LIVE = {"IMG_1001": "1B1B9E7C-0000-4F6C-A1D2-3DAB7A10C43F", "IMG_1002": "2C2C9E7C-0000-4F6C-A1D2-3DAB7A10C43F"}
FILMS = ("IMG_1001.MOV", "IMG_1002.MOV", "PXL_20230401.mp4")


def _without_pyav() -> None:
    sys.modules["av"] = None  # type: ignore[assignment]
    is_installed.cache_clear()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    for name in ("iphone", "canon", "scans", "Takeout"):
        (place / name).mkdir(parents=True)
    for number, (name, identifier) in enumerate(LIVE.items()):
        picture = encoded(quadrants(64 + 8 * number, 48), "HEIF", exif=apple_exif(identifier))
        (place / "iphone" / f"{name}.HEIC").write_bytes(picture)
        moving = with_keys(
            film(KEPT[Format.MOV], black=number),
            content_identifier=identifier,
            creationdate="2021-05-01T10:00:01+0200",
        )
        (place / "iphone" / f"{name}.MOV").write_bytes(moving)
    for number in (1, 2):
        (place / "canon" / f"_MG_000{number}.CR3").write_bytes(cr3() + bytes(number))
        jpeg = encoded(quadrants(80 + 8 * number, 48), "JPEG")
        (place / "canon" / f"_MG_000{number}.JPG").write_bytes(jpeg)
    (place / "scans" / "poster.psd").write_bytes(photoshop(quadrants(96, 64)))
    sixteen = Pixels.new("I;16", (40, 30))
    sixteen.putdata([257 * (at % 250) for at in range(1200)])
    sixteen.save(place / "scans" / "negative.tif")
    (place / "Takeout" / FILMS[2]).write_bytes(made_at(of_format(Format.MP4), 3_600_000_000))
    metadata = {"photoTakenTime": {"timestamp": "1680346800"}, "description": "The pier"}
    (place / "Takeout" / f"{FILMS[2]}.supplemental-metadata.json").write_text(json.dumps(metadata))
    return place


def pairs_shown(deployment: Deployment, row: Image) -> list[tuple[str, str]]:
    [shown] = deployment.run("show", str(row.id), "--json").of("image")
    found = shown["pairs"]
    assert isinstance(found, list)
    return [(one["name"], one["pair"]) for one in found]


def test_every_file_has_a_row_and_is_shown(embedded: Deployment, home: Path) -> None:
    uploaded = embedded.run("upload", home, "--user", str(USER), "--json")
    worked = embedded.with_pool().run("work", "--drain", "--json")

    assert (uploaded.code, uploaded.summary["uploaded"]) == (0, 11), uploaded.err
    assert (worked.code, worked.summary["ready"]) == (0, 11), worked.err
    rows = {image.name: image for image in embedded.images()}
    assert {image.status for image in rows.values()} == {Status.READY}
    assert all(image.width and image.thumb_key for image in rows.values())
    assert rows["IMG_1001.HEIC"].taken_at == datetime(2021, 5, 1, 8, tzinfo=UTC)
    assert rows["IMG_1001.MOV"].taken_at == datetime(2021, 5, 1, 8, 0, 1, tzinfo=UTC)
    assert rows["IMG_1001.MOV"].content_type == "video/quicktime"
    assert (rows["IMG_1001.MOV"].original_key or "").endswith("-original.mov")
    assert rows[FILMS[2]].caption == "The pier"

    pairs = {name: pairs_shown(embedded, row) for name, row in rows.items()}
    live = [
        (f"{name}.{one}", [(f"{name}.{other}", "live_photo")])
        for name in LIVE
        for one, other in (("HEIC", "MOV"), ("MOV", "HEIC"))
    ]
    raws = [
        (f"_MG_000{number}.{one}", [(f"_MG_000{number}.{other}", "raw_and_picture")])
        for number in (1, 2)
        for one, other in (("CR3", "JPG"), ("JPG", "CR3"))
    ]
    assert {name: found for name, found in pairs.items() if found} == dict([*live, *raws])
    assert (
        f"Live Photo with: IMG_1001.MOV  {rows['IMG_1001.MOV'].id}"
        in embedded.run("show", str(rows["IMG_1001.HEIC"].id)).out
    )


def test_without_their_extra_films_are_named(embedded: Deployment, home: Path) -> None:
    uploaded = embedded.start("upload", home, "--user", str(USER), "--json", before=_without_pyav).wait()

    assert uploaded.code == 3
    assert uploaded.summary["reasons"] == {"unsupported": 3, "sidecar": 1}
    assert all(f"{name}: unsupported: a film" in uploaded.err for name in FILMS)
    assert "pip install 'imgctl[video]'" in uploaded.err
    assert len(embedded.images()) == 8


def test_a_film_goes_cold_comes_back_and_gets_a_new_poster(frozen: Frozen, tmp_path: Path) -> None:
    film, deployment = of_format(Format.MP4), frozen.deployment
    (tmp_path / "a.mp4").write_bytes(film)
    drained = ("work", "--drain", "--scheduler", "inline", "--json")
    restored = ("restore", "--since", "2000-01-01", "--yes", "--json")
    deployment.run("upload", tmp_path / "a.mp4", "--user", str(USER))
    deployment.run(*drained)

    moved = deployment.run("transition", "--to", "GLACIER", "--older-than", "0s", "--min-size", "0", "--yes", "--json")
    frozen.hold()
    [image] = deployment.images()
    requeued(deployment, image)
    waits = deployment.run(*drained)
    requested = deployment.run(*restored)
    frozen.finish()
    readable = deployment.run(*restored)
    built = deployment.run(*drained)

    assert moved.summary["moved"] == waits.summary["awaiting_restore"] == 1, moved.err + waits.err
    assert requested.summary["requested"] == readable.summary["restored"] == built.summary["ready"] == 1
    [image] = deployment.images()
    assert (image.status, image.storage_class, image.error) == (Status.READY, "GLACIER", None)
    assert deployment.open_store().get(image.original_key or "") == film


def requeued(deployment: Deployment, image: Image) -> None:
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        requeue(connection, [image.id])
    catalog.close()


def test_the_film_behind_a_motion_photo_stays_in_its_original(embedded: Deployment, tmp_path: Path) -> None:
    motion = encoded(quadrants(), "JPEG") + of_format(Format.MP4)
    (tmp_path / "MVIMG_1.jpg").write_bytes(motion)

    assert embedded.run("upload", tmp_path / "MVIMG_1.jpg", "--user", str(USER)).code == 0
    assert embedded.run("work", "--drain").code == 0

    [image] = embedded.images()
    assert (image.status, image.content_type, image.error) == (Status.READY, "image/jpeg", None)
    assert embedded.open_store().get(image.original_key or "") == motion


def test_every_format_is_taken_by_its_content_and_shown(embedded: Deployment, tmp_path: Path) -> None:
    made = {f"{name}.jpg": build(size=(320, 240)) for name, (_, build) in RAWS.items()}
    stills = {f"{name.replace(' ', '-')}.jpg": (kind, build()) for name, (kind, build) in STILLS.items()}
    films = {f"{kind}.jpg": (kind, of_format(kind)) for kind in KEPT}
    known = {name: KNOWN[kind].content_type for name, (kind, _) in {**stills, **films}.items()}
    place = tmp_path / "renamed"
    place.mkdir()
    for name, data in {**made, **{name: data for name, (_, data) in {**stills, **films}.items()}}.items():
        (place / name).write_bytes(data)

    uploaded = embedded.run("upload", place, "--user", str(USER), "--json")
    worked = embedded.with_pool().run("work", "--drain", "--json")

    rows = {image.name: image for image in embedded.images()}
    taken = {KNOWN[kind].content_type for kind, _ in RAWS.values()}
    assert (uploaded.code, worked.code) == (0, 0), uploaded.err + worked.err
    assert set(rows) == {*made, *known}
    assert {name: rows[name].content_type for name in known} == known
    assert {rows[name].content_type for name in made} <= taken
    assert {image.status for image in rows.values()} == {Status.READY}
    assert all(image.width and image.full_key for image in rows.values())


@pytest.mark.parametrize(
    ("beside", "needed"),
    [("", set()), (".json", {"imgctl.imaging.takeout"}), (".xmp", {"imgctl.imaging.metadata.xmp"})],
    ids=["alone", "takeout", "xmp"],
)
def test_the_upload_of_a_jpeg_imports_nothing_of_what_is_not_there(
    embedded: Deployment, tmp_path: Path, beside: str, needed: set[str]
) -> None:
    embedded.run("init")
    photo = tmp_path / "1.jpg"
    photo.write_bytes(encoded(quadrants(64, 48), "JPEG"))
    if beside:
        photo.with_name(photo.name + beside).write_bytes(b"nothing that anybody reads")
    libraries = {
        "PIL",
        "pyvips",
        "rawpy",
        "av",
        "pillow_heif",
        "numpy",
        "boto3",
        "obstore",
        "psycopg",
        "alembic",
        "asyncpg",
    }
    ours = {
        f"imgctl.{name}"
        for name in (
            "imaging.takeout",
            "imaging.photo_details",
            "imaging.metadata.xmp",
            "imaging.metadata.raws",
            "imaging.metadata.films",
            "imaging.metadata.quicktime",
            "imaging.decoders",
            "ops.backfill",
            "run.pools",
            "store.catalog.queries.fingerprints",
            "store.catalog.queries.holds",
        )
    }
    code = (
        "import sys\nfrom imgctl.cli.main import run\n"
        f"code = run(['upload', {str(photo)!r}, '--user', '{USER}', '-q'])\n"
        f"print(code, *sorted({libraries | ours!r} & sys.modules.keys()))"
    )
    environment = {"PATH": os.defpath, **embedded.environment()}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    code_and_loaded = done.stdout.split()
    assert (code_and_loaded[0], set(code_and_loaded[1:])) == ("0", needed), done.stderr
