"""Deployments at each stage of an archive, made once and copied for each test, always to the same path."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from tests.whole.cold import archive_all
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment

PHOTOS = 12
# A case that needs an id uses the first.
IMAGE = "{image}"

Stages = Callable[[str], Deployment]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directories that `stage` copies, by name; filled on demand."""
    return {"": tmp_path_factory.mktemp("stages")}


@pytest.fixture
def stage(made: dict[str, Path], tmp_path: Path) -> Stages:
    """Return a deployment at `fresh`, `uploaded`, `ready`, `damaged`, `cold` or `planned`; each call resets it."""
    place = tmp_path / "run"

    def build(name: str) -> Deployment:
        if name not in made:
            deployment = _STAGES[name](build)
            made[name] = made[""] / name
            shutil.copytree(deployment.directory, made[name])
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(made[name], place)
        return deployment_in(place)

    made.setdefault("nothing", _empty(made[""] / "nothing"))
    return build


def deployment_in(place: Path) -> Deployment:
    """Return a deployment with SQLite and a directory below `place`; it renders in the command's own process."""
    store = StoreSettings(url=f"file://{place}/blobs")
    settings = {"IMGCTL_WORK_SCHEDULER": "inline", "IMGCTL_UPLOAD_CONCURRENCY": "4", "PAGER": "cat"}
    return Deployment(directory=place, catalog_url=f"sqlite:///{place}/catalog.db", store=store, settings=settings)


def _empty(place: Path) -> Path:
    place.mkdir(exist_ok=True)
    return place


def _fresh(build: Stages) -> Deployment:
    deployment = build("nothing")
    photos = deployment.directory / "photos"
    photos.mkdir()
    for number in range(PHOTOS):
        (photos / f"{number}.jpg").write_bytes(photo(number))
        os.utime(photos / f"{number}.jpg", (1_700_000_000, 1_700_000_000))
    (photos / "notes.txt").write_text("the second week it rained\n")
    (photos / "lost.jpg").write_text("this was a photo once\n")
    (deployment.directory / "manifest.csv").write_text("key,user_id\nlegacy/1.jpg," + str(USER) + "\nlegacy/2.jpg,\n")
    deployment.open_store().replace("legacy/1.jpg", photo(1), content_type="image/jpeg")
    return deployment


def _after(before: str, *commands: tuple[str, ...], code: int = 0) -> Callable[[Stages], Deployment]:
    def make(build: Stages) -> Deployment:
        deployment = build(before)
        for command in commands:
            result = deployment.run(*command)
            assert result.code == code, result.err
        return deployment

    return make


def _damaged(build: Stages) -> Deployment:
    deployment = build("ready")
    store = deployment.open_store()
    for image in deployment.images()[:2]:
        store.delete([image.original_key or "", image.thumb_key or ""])
    return deployment


def _cold(build: Stages) -> Deployment:
    deployment = build("ready")
    archive_all(deployment)
    return deployment


_STAGES: dict[str, Callable[[Stages], Deployment]] = {
    "fresh": _fresh,
    "uploaded": _after("fresh", ("upload", "photos", "--user", str(USER)), code=3),
    "ready": _after("uploaded", ("work", "--drain")),
    "damaged": _damaged,
    "cold": _cold,
    "planned": _after("cold", ("restore", "--since", "2000-01-01", "--plan", "plan.jsonl", "--permanent")),
}
