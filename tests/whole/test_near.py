"""`imgctl find --near`: it finds similar images and no others, and a fingerprint is deleted with its image."""

import io
from contextlib import closing
from pathlib import Path

from PIL import Image
from sqlalchemy import func, select

from bench.photos import scene
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.fingerprints import fingerprints
from tests.whole.deployment import USER, Deployment

OTHER = "0190b2b4-0000-7000-8000-0000000000ff"
PHOTOS = 6


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def noted(deployment: Deployment) -> int:
    with closing(open_catalog(deployment.catalog_url)) as catalog, catalog.read() as connection:
        return connection.execute(select(func.count()).select_from(fingerprints)).scalar_one()


def test_what_looks_the_same_is_found_until_it_is_erased(deployment: Deployment, tmp_path: Path) -> None:
    pictures = [scene(640, 480, seed=seed, noise=4.0) for seed in range(PHOTOS)]
    place = tmp_path / "photos"
    place.mkdir()
    for number, picture in enumerate(pictures):
        (place / f"photo-{number}.jpg").write_bytes(jpeg(picture))
    assert deployment.run("upload", str(place), "--user", str(USER)).code == 0
    assert deployment.run("work", "--drain").code == 0
    refused = deployment.run("find", "--near", str(place / "photo-0.jpg"), "--user", str(USER))
    deployment = deployment.with_settings(FIND_NEAR="true", SERVE_SECRET="what signs receipts")
    # Images that were ready before, and a later one.
    assert deployment.run("backfill", "--force", "--variant", "thumb").code == 0
    assert noted(deployment) == PHOTOS
    (place / "late.jpg").write_bytes(jpeg(scene(640, 480, seed=77, noise=4.0)))
    assert deployment.run("upload", str(place), "--user", str(USER)).code == 0
    assert deployment.run("work", "--drain").code == 0

    picture = pictures[2]
    width, height = picture.size
    changed = {
        "same": picture,
        "resized": picture.resize((width // 2, height // 2)),
        "cropped": picture.crop((8, 6, width - 8, height - 6)),
    }
    query = tmp_path / "asked.jpg"
    for what, one in changed.items():
        query.write_bytes(jpeg(one, quality=60))
        found = deployment.run("find", "--near", str(query), "--user", str(USER), "--json").of("image")
        assert [line["name"] for line in found] == ["photo-2.jpg"], what
        assert not deployment.run("find", "--near", str(query), "--user", OTHER, "--json").of("image")
    assert refused.code == 2
    assert deployment.run("find", "--near", str(query)).code == 2
    (tmp_path / "notes.txt").write_text("no picture")
    strange = deployment.run("find", "--near", str(tmp_path / "notes.txt"), "--all-users")
    assert strange.code == 2
    assert f"{tmp_path / 'notes.txt'}: not an image" in strange.err
    (image,) = deployment.run("find", "--near", str(query), "--all-users", "--json").of("image")
    assert noted(deployment) == PHOTOS + 1
    assert deployment.run("erase", str(image["id"]), "--yes").code == 0
    assert noted(deployment) == PHOTOS
    assert not deployment.run("find", "--near", str(query), "--user", str(USER), "--json").of("image")
