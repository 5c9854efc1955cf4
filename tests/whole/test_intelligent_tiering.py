"""Originals in the archive tiers of Intelligent-Tiering: every command distinguishes them, a restore has no days."""

from pathlib import Path

import pytest

from tests.parts.seaweed import S3Server
from tests.parts.tiering import intelligent_tiering
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment

ALL = ("--since", "2000-01-01")
PHOTOS = 3


@pytest.fixture
def tiered(tmp_path: Path, moto_s3: S3Server) -> Deployment:
    """A deployment on moto, whose originals the tests archive without imgctl."""
    store = moto_s3.settings(moto_s3.new_bucket())
    deployment = Deployment(directory=tmp_path, catalog_url=f"sqlite:///{tmp_path}/catalog.db", store=store)
    deployment.run("init")
    return deployment


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos."""
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(PHOTOS):
        (place / f"{number}.jpg").write_bytes(photo(number))
    return place


@pytest.mark.parametrize("tier", ["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"])
def test_from_the_archive_tier_to_ready(tiered: Deployment, photos: Path, tier: str) -> None:
    tiered.run("upload", photos, "--user", str(USER))
    with intelligent_tiering(tiered.store.endpoint_url, tier=tier) as box:
        deployment = tiered.through(box.url)
        parked = deployment.run("work", "--drain", "--json")
        status = deployment.run("restore", *ALL, "--status", "--json")
        learned = {image.storage_class for image in deployment.images()}
        drift = deployment.run("audit", "--grace", "0s", "--storage-class", "--json")
        asked = deployment.run("restore", *ALL, "--yes", "--json")
        again = deployment.run("restore", *ALL, "--yes", "--json")
        box.finish()
        back = deployment.run("restore", *ALL, "--status", "--json")
        built = deployment.run("work", "--drain", "--json")
        healthy = deployment.run("audit", "--grace", "0s", "--storage-class", "--json")

    assert [one["state"] for one in status.of("image")] == ["archived"] * PHOTOS
    assert [one["storage_class"] for one in status.of("image")] == [tier] * PHOTOS
    assert learned == {tier}
    assert {one["code"] for one in drift.of("finding")} == {"archived_without_variants"}
    assert (asked.code, asked.summary["requested"], len(box.requested)) == (0, PHOTOS, PHOTOS)
    assert (again.code, again.summary["restoring"]) == (0, PHOTOS)
    assert [one["storage_class"] for one in back.of("image")] == ["INTELLIGENT_TIERING"] * PHOTOS
    assert parked.code == 0
    assert {image.status for image in deployment.images()} == {"ready"}, built.err
    assert (healthy.code, healthy.summary["findings"]) == (0, 0)


def test_variants_of_archived_originals_are_priced_and_counted_separately(tiered: Deployment, photos: Path) -> None:
    tiered.run("upload", photos, "--user", str(USER))
    tiered.run("work", "--drain")
    with intelligent_tiering(tiered.store.endpoint_url) as box:
        deployment = tiered.through(box.url)
        found = deployment.run("audit", "--grace", "0s", "--storage-class", "--json")
        blind = deployment.run("backfill", "--force", "--yes", "--json")
        shown = deployment.run("show", str(deployment.images()[0].id), "--json")
        refused = deployment.run("transition", *ALL, "--to", "GLACIER", "--min-size", "0", "--yes", "--json")
        price = deployment.run("cost", "actual", "--json")
        restored = deployment.run("restore", *ALL, "--tier", "expedited", "--dry-run")

    assert {(one["code"], str(one["detail"])) for one in found.of("finding")} == {
        ("class_drift", "the original lies in ARCHIVE_ACCESS, the row says STANDARD")
    }
    assert {image.storage_class for image in deployment.images()} == {"ARCHIVE_ACCESS"}
    needs = blind.summary["needs_restore"]
    assert isinstance(needs, dict)
    assert (needs["images"], needs["classes"]) == (PHOTOS, {"ARCHIVE_ACCESS": PHOTOS})
    assert "ARCHIVE_ACCESS" in shown.out
    assert refused.summary.get("moved", 0) == 0
    assert price.code == 0, price.err
    assert "ARCHIVE_ACCESS" in restored.out + restored.err
    assert "for 7 days" not in restored.out + restored.err
