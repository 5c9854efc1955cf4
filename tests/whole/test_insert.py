"""`imgctl insert` as a process: estimate, --yes, kill, and the same again."""

import json
import random
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.keys import PROBES
from imgctl.model import Status
from tests.parts.proxy import fault_proxy
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, kill_at_a_request

COUNT = 20
REQUESTS = 90


def arrange(deployment: Deployment) -> Path:
    """Twenty blobs under foreign keys, and the manifest that lists them."""
    store = deployment.open_store()
    lines = []
    for number in range(COUNT):
        store.replace(f"legacy/{number}.jpg", photo(number), content_type="image/jpeg")
        lines.append({"key": f"legacy/{number}.jpg", "user_id": str(USER), "uploaded_at": f"2020-01-{number + 1:02}"})
    manifest = deployment.directory / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest


def assert_inserted(deployment: Deployment, status: Status) -> None:
    images, store = deployment.images(), deployment.open_store()
    originals = {image.original_key or "": store.get(image.original_key or "") for image in images}

    assert sorted(originals.values()) == sorted(photo(number) for number in range(COUNT))
    assert {image.status for image in images} == {status}
    assert {blob.key for blob in store.scan()} >= {f"legacy/{number}.jpg" for number in range(COUNT)} | set(originals)
    assert [f"{image.uploaded_at:%Y-%m-%d}" for image in images] == [f"2020-01-{n + 1:02}" for n in range(COUNT)]


def test_inserted_blobs_are_rendered_listed_and_inserted_once(deployment: Deployment) -> None:
    manifest = arrange(deployment)

    first = deployment.run("insert", manifest, "--yes", "--json")
    worked = deployment.run("work", "--drain")
    again = deployment.run("insert", manifest, "--yes", "--json")

    assert (first.code, worked.code, again.code) == (0, 0, 0), first.err + worked.err + again.err
    assert (first.summary["uploaded"], again.summary["uploaded"], again.summary["present"]) == (COUNT, 0, COUNT)
    assert len(first.of("blob")) == COUNT
    assert UUID(str(first.of("blob")[0]["id"])).version == 7
    assert_inserted(deployment, Status.READY)


def test_a_photo_that_was_inserted_is_not_uploaded_again(embedded: Deployment, tmp_path: Path) -> None:
    embedded.run("insert", arrange(embedded), "--yes")
    (tmp_path / "same.jpg").write_bytes(photo(3))

    result = embedded.run("upload", tmp_path / "same.jpg", "--user", str(USER), "--json")

    assert (result.summary["uploaded"], result.summary["present"]) == (0, 1)


def test_billed_costs_are_shown_and_need_yes(servers: Deployment) -> None:
    manifest = arrange(servers)

    refused = servers.run("insert", manifest)
    dry = servers.run("insert", manifest, "--dry-run", "--json")

    assert refused.code == 2
    assert "20 blobs" in refused.err
    assert "price unknown for this endpoint; AWS us-east-1 would charge one-off" in refused.err
    assert "--yes" in refused.err.splitlines()[-1]
    assert dry.code == 0
    (estimate,) = dry.of("estimate")
    # The first blobs of the manifest are a sample: the others may be larger.
    assert "costs about: " in dry.err
    assert (estimate["billing"], estimate["blobs"]) == ("other", COUNT)
    assert dry.summary["planned"] == COUNT
    assert servers.images() == []


@pytest.mark.parametrize("agreed", [(), ("--yes",)])
def test_a_dry_run_reads_billed_blobs_only_with_yes(servers: Deployment, agreed: tuple[str, ...]) -> None:
    servers.open_store().replace("legacy/note.jpg", b"no picture", content_type="image/jpeg")
    (servers.directory / "manifest.csv").write_text(f"key,user_id\nlegacy/note.jpg,{USER}\nlegacy/gone.jpg,{USER}\n")
    reads: list[str] = []

    def policy(method: str, path: str, _number: int) -> None:
        if method == "GET" and "legacy/" in path:
            reads.append(path)

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        dry = servers.through(proxy.url).run("insert", "manifest.csv", "--dry-run", "--json", *agreed)

    fates = {str(one["path"]): one["fate"] for one in dry.of("blob")}
    assert (dry.code, fates["legacy/gone.jpg"]) == (3, "failed"), dry.err
    assert fates["legacy/note.jpg"] == ("failed" if agreed else "planned")
    assert bool(reads) == bool(agreed)
    assert ("the blobs are not read" in dry.err) != bool(agreed)


def test_a_directory_bills_nothing_and_needs_no_yes(embedded: Deployment) -> None:
    result = embedded.run("insert", arrange(embedded))

    assert result.code == 0, result.err
    assert f"{COUNT} blobs: {COUNT} inserted" in result.out


def test_a_lost_blob_is_named_and_the_rest_goes_in(embedded: Deployment) -> None:
    manifest = arrange(embedded)
    embedded.open_store().delete(["legacy/7.jpg"])

    result = embedded.run("insert", manifest, "--report", embedded.directory / "report.csv")

    assert result.code == 3
    assert "failed legacy/7.jpg: the blob does not exist" in result.err
    assert len(embedded.images()) == COUNT - 1
    assert (embedded.directory / "report.csv").read_text().count("\n") == COUNT + 1


def test_a_manifest_without_its_columns_is_a_usage_error(embedded: Deployment) -> None:
    (embedded.directory / "bad.csv").write_text("path,user_id\na,b\n")

    result = embedded.run("insert", "bad.csv")

    assert result.code == 2
    assert "no column key" in result.err


def test_a_manifest_that_is_not_there_is_a_usage_error(embedded: Deployment) -> None:
    result = embedded.run("insert", "none.csv")

    assert result.code == 2
    assert "manifest none.csv: no such file" in result.err


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_insert_is_finished_by_the_next(servers: Deployment, seed: int) -> None:
    manifest = arrange(servers)
    kill_at_a_request(servers, ["insert", str(manifest), "--yes"], REQUESTS, random.Random(seed))

    again = servers.run("insert", manifest, "--yes")

    assert again.code == 0, again.err
    assert_inserted(servers, Status.PROCESSING)
    assert len([blob for blob in servers.open_store().scan() if not blob.key.startswith(PROBES)]) == 2 * COUNT


def test_two_inserts_of_one_manifest_end_as_one(servers: Deployment) -> None:
    manifest = arrange(servers)

    results = [run.wait() for run in [servers.start("insert", manifest, "--yes", "--json") for _ in range(2)]]

    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    assert_inserted(servers, Status.PROCESSING)
    assert len(list(servers.open_store().scan())) == 2 * COUNT


def test_the_estimate_counts_what_reading_and_copying_out_of_a_colder_class_costs(
    tmp_path: Path, moto_s3: S3Server
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    settings = moto_s3.settings(moto_s3.new_bucket())
    deployment = Deployment(directory=place, catalog_url=f"sqlite:///{place}/catalog.db", store=settings)
    store = deployment.open_store()
    for number, storage_class in enumerate(("STANDARD", "GLACIER_IR", "GLACIER_IR", "STANDARD_IA")):
        store.create(f"legacy/{number}.jpg", b"x" * 2**20, content_type="image/jpeg")
        blob = store.details(f"legacy/{number}.jpg")
        assert blob is not None
        if storage_class != "STANDARD":
            store.move(blob.key, to=storage_class, etag=blob.etag)
    lines = "".join(f"legacy/{number}.jpg,{USER}\n" for number in range(4))
    (place / "manifest.csv").write_text(f"key,user_id\n{lines}")

    deployment.run("init")

    dry = deployment.run("insert", "manifest.csv", "--dry-run", "--json")

    (estimate,) = dry.of("estimate")
    # Each is read once by this machine, and once by the copy.
    retrieved = {
        line["name"]: Decimal(line["quantity"])
        for line in estimate["lines"]  # type: ignore[attr-defined]
        if line["name"].endswith("retrieved")
    }
    assert retrieved == {
        "GLACIER_IR INSTANT retrieved": Decimal(4) / 1024,
        "STANDARD_IA INSTANT retrieved": Decimal(2) / 1024,
    }
