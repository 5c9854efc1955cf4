"""`imgctl audit` as a process: exit codes, output, requests; with broken listings, and while other commands run."""

import csv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.ops.audit.findings import from_record
from tests.parts.proxy import Fault, fault_proxy
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment
from tests.whole.listings import altered_listings

AT_ONCE = ("audit", "--grace", "0s", "--json")


@pytest.fixture
def filled(deployment: Deployment, album: dict[Path, bytes]) -> Deployment:
    """Twenty photos, ready, in each kind of deployment."""
    return _filled(deployment, album)


@pytest.fixture
def small(embedded: Deployment, album: dict[Path, bytes]) -> Deployment:
    """The same in the embedded deployment only."""
    return _filled(embedded, album)


def _filled(deployment: Deployment, album: dict[Path, bytes]) -> Deployment:
    assert deployment.run("upload", place_of(album), "--user", str(USER)).code == 0
    assert deployment.run("work", "--drain").code == 0
    return deployment


def test_a_healthy_archive_has_no_findings(filled: Deployment) -> None:
    result = filled.run(*AT_ONCE, "--storage-class", "--stale", "--deep")

    assert result.code == 0, result.err
    assert result.summary["findings"] == 0
    assert (result.summary["images"], result.summary["blobs"], result.summary["checked"]) == (20, 80, 20)


def test_a_lost_original_ends_in_exit_4_and_a_record_that_reads_back(filled: Deployment, tmp_path: Path) -> None:
    lost = filled.images()[7]
    filled.open_store().delete([lost.original_key or ""])
    result = filled.run(*AT_ONCE, "--csv", tmp_path / "found.csv")

    assert result.code == 4
    assert [from_record(one).id for one in result.of("finding")] == [lost.id]
    assert result.summary["codes"] == {"missing_original": 1}
    with (tmp_path / "found.csv").open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == [lost.original_key]
    assert filled.run(*AT_ONCE, "--fail-on", "failed,orphan_blob").code == 0
    assert "missing_original" in filled.run("audit", "--grace", "0s").out


def test_what_is_young_is_no_finding(small: Deployment) -> None:
    small.open_store().delete([small.images()[0].original_key or ""])

    result, records = small.run("audit"), small.run("audit", "--json")

    assert (result.code, records.code) == (0, 0)
    assert "1 finding not reported: younger than 1h" in result.out
    assert (records.summary["findings"], records.summary["young"]) == (0, 1)


def test_a_code_that_is_none_is_refused(embedded: Deployment) -> None:
    result = embedded.run("audit", "--fail-on", "missing_orginal")

    assert result.code == 2
    assert "missing_orginal" in result.err


def test_a_missing_directory_is_not_a_clean_audit(embedded: Deployment, album: dict[Path, bytes]) -> None:
    fresh = embedded.run("audit")
    assert embedded.run("upload", place_of(album), "--user", str(USER)).code == 0
    (embedded.directory / "blobs").rename(embedded.directory / "unmounted")
    result = embedded.run("audit")

    assert fresh.code == 0
    assert result.code == 1
    assert "there is no directory" in result.err


def test_ids_from_a_list_are_audited_alone(small: Deployment, tmp_path: Path) -> None:
    chosen, other = small.images()[3:5]
    small.open_store().delete([chosen.thumb_key or "", other.thumb_key or ""])
    names = tmp_path / "ids"
    names.write_text(f"{chosen.id}\n")
    result = small.run(*AT_ONCE, "--ids-from", names)

    assert [one["key"] for one in result.of("finding")] == [chosen.thumb_key]


def test_requests_of_a_user_audit_grow_with_the_users_photos(servers: Deployment, tmp_path: Path) -> None:
    other = "0190b2b4-0000-7000-8000-000000000002"
    for user, count in ((str(USER), 3), (other, 40)):
        place = tmp_path / user
        place.mkdir()
        for number in range(count):
            (place / f"{number}.jpg").write_bytes(photo(number))
        assert servers.run("upload", place, "--user", user).code == 0
    assert servers.run("work", "--drain").code == 0
    with fault_proxy(servers.store.endpoint_url) as proxy:
        result = servers.through(proxy.url).run(*AT_ONCE, "--user", str(USER))

    assert result.code == 0, result.err
    assert dict(proxy.requests) == {"HEAD": 12}
    assert result.summary["requests"] == {"LIST": 0, "HEAD": 12, "GET": 0}


def _forbidden(_method: str, _path: str, _number: int) -> Fault:
    return Fault.EXPIRED


def _unreachable(_method: str, _path: str, _number: int) -> Fault:
    return Fault.RESET


@pytest.mark.parametrize("policy", [_forbidden, _unreachable])
def test_a_listing_that_is_refused_is_an_error(
    servers: Deployment, policy: Callable[[str, str, int], Fault | None]
) -> None:
    assert servers.run("init").code == 0
    hasty = servers.with_settings(STORE_RETRIES="1")
    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        result = hasty.through(proxy.url).run(*AT_ONCE)

    assert result.code == 1
    assert result.out == ""
    assert result.err.startswith("imgctl: ")


def test_a_bucket_that_is_missing_is_an_error(servers: Deployment) -> None:
    lost = replace(servers, store=replace(servers.store, url="s3://no-such-bucket-here"))
    result = lost.run(*AT_ONCE)

    assert result.code == 1
    assert "there is no bucket" in result.err
    # The URL may be that of a source or of --out.
    assert "[store] url" not in result.err


@pytest.mark.parametrize("harm", ["cut", "repeat"])
def test_a_listing_that_breaks_in_the_middle_is_an_error(
    servers: Deployment, album: dict[Path, bytes], harm: str
) -> None:
    assert servers.run("upload", place_of(album), "--user", str(USER)).code == 0
    assert servers.run("work", "--drain").code == 0
    hasty = servers.with_settings(STORE_RETRIES="1")
    with altered_listings(servers.store.endpoint_url, harm=harm, page_keys=20) as url:
        result = hasty.through(url).run(*AT_ONCE)

    assert result.code == 1, result.out
    assert result.of("finding") == []
    assert result.of("summary") == []


def test_nothing_false_is_said_while_uploads_and_workers_run(deployment: Deployment, tmp_path: Path) -> None:
    assert deployment.run("init").code == 0
    users = [f"0190b2b4-0000-7000-8000-00000000001{number}" for number in range(3)]
    place = tmp_path / "many"
    place.mkdir()
    for number in range(40):
        (place / f"{number}.jpg").write_bytes(photo(number))
    (place / "ours").mkdir()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(_busy, deployment, place, users)
        problems = [one for result in _rounds(deployment, busy.done) for one in result]
        busy.result()

    assert problems == []


def _busy(deployment: Deployment, place: Path, users: list[str]) -> None:
    for user in users:
        uploading = deployment.start("upload", place, "--user", user)
        working = deployment.start("work", "--drain")
        assert uploading.wait().code == 0
        assert working.wait().code == 0
        assert deployment.run("work", "--drain").code == 0


def _rounds(deployment: Deployment, done: Callable[[], bool]) -> Iterator[list[dict[str, object]]]:
    while True:
        last = done()
        # Without a grace period: only the order of the checks excludes images in flight.
        result = deployment.run(*AT_ONCE)
        assert result.code in (0, 4), result.err
        yield result.of("finding")
        if last:
            return


@pytest.mark.parametrize("store", ["s3://photos", "gs://photos", "az://photos"])
def test_a_deep_audit_of_a_whole_archive_that_somebody_bills_wants_a_budget(embedded: Deployment, store: str) -> None:
    result = embedded.with_settings(STORE_URL=store).run("audit", "--deep")

    assert (result.code, "set a limit: --budget" in result.err) == (2, True), result.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--user", str(USER), "--inventory", "manifest.json"), "--inventory works only without"),
        (("--user", str(USER), "--checkpoint", "state"), "--checkpoint works only without"),
        (("--fail-on", " ,"), "names no code"),
        (("--csv", "found", "--html", "./found"), "the same file"),
        (("--csv", "found", "--checkpoint", "found"), "the same file"),
        (("--csv", "ids", "--ids-from", "ids"), "the same file"),
    ],
)
def test_options_without_effect_are_refused(embedded: Deployment, options: tuple[str, ...], complaint: str) -> None:
    result = embedded.run("audit", *options)

    assert (result.code, complaint in result.err) == (2, True), result.err


@pytest.mark.parametrize("url", ["s3://photos", "az://photos"])
def test_a_deep_audit_of_a_billed_store_needs_a_budget(embedded: Deployment, url: str) -> None:
    embedded.run("init")
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    keys |= {"AZURE_STORAGE_ACCOUNT_NAME": "photos", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}
    billed = replace(embedded, store=StoreSettings(url=url)).in_environment(**keys)

    refused = billed.run("audit", "--deep")

    assert refused.code == 2, refused.err
    assert "which costs money (set a limit: --budget 20GiB)" in refused.err
