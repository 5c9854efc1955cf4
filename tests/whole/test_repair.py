"""`imgctl repair` as a process, also killed at random instants while it fills or empties the trash."""

import random
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.keys import ORIGINAL, PROBES, TRASH, key_of, new_id
from imgctl.model import Status
from imgctl.ops.repair.trash import key_before
from tests.ops.repair.conftest import JPEG, THEN
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.soak import rounds
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import FOREVER, USER, Deployment, assert_whole, kill_at_a_request, kill_when

ORPHANS = 20
KILLS = rounds(4, 50)
KILLS_BY_REQUEST = rounds(3, 20)
REQUESTS = 5 * ORPHANS
TRASH_ALL = ["--delete-orphans", "--orphan-age", "0s", "--max-delete-percent", "100", "--apply"]


def test_an_audit_is_mended_and_what_was_requeued_is_built(deployment: Deployment, album: dict[Path, bytes]) -> None:
    deployment.run("upload", place_of(album), "--user", str(USER))
    deployment.run("work", "--drain")
    images, store = deployment.images(), deployment.open_store()
    whole = {blob.key for blob in store.scan()}
    store.delete([images[0].thumb_key or "", images[1].full_key or ""])
    found = deployment.directory / "findings.ndjson"

    audited = deployment.run("audit", "--grace", "0s", "--json")
    found.write_text(audited.out)
    dry = deployment.run("repair", found, "--json")
    mended = deployment.run("repair", found, "--apply", "--json")
    worked = deployment.run("work", "--drain")

    assert audited.code == 4
    assert [one["fate"] for one in dry.of("repair")] == ["planned", "planned"]
    assert mended.summary["mended"] == 2
    assert (mended.code, worked.code) == (0, 0)
    assert {image.status for image in deployment.images()} == {Status.READY}
    assert {blob.key for blob in store.scan()} == whole
    assert deployment.run("audit", "--grace", "0s").code == 0


def test_an_original_marked_as_lost_is_brought_back_by_another_upload(
    deployment: Deployment, album: dict[Path, bytes]
) -> None:
    upload = ["upload", str(place_of(album)), "--user", str(USER)]
    assert deployment.run(*upload).code == 0
    assert deployment.run("work", "--drain").code == 0
    image, store = deployment.images()[0], deployment.open_store()
    store.delete([image.original_key or ""])
    assert deployment.run("repair", "--apply", "--grace", "0s").code == 0
    assert [one.status for one in deployment.images()].count(Status.FAILED) == 1
    unsafe = deployment.run("verify", place_of(album), "--user", str(USER), "--against", "catalog", "--json")
    advice = deployment.run("show", str(image.id))

    again, built = deployment.run(*upload, "--json"), deployment.run("work", "--drain")

    assert (unsafe.code, {one["reason"] for one in unsafe.of("file") if one["fate"] == "unsafe"}) == (
        4,
        {"original_missing"},
    )
    assert "imgctl upload" in advice.out
    assert (again.code, again.summary["uploaded"], built.code) == (0, 1, 0), again.err
    assert_whole(deployment, album.values(), status=Status.READY)


def test_an_original_that_a_worker_missed_is_brought_back_by_another_upload(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    upload = ["upload", str(place_of(album)), "--user", str(USER)]
    assert embedded.run(*upload).code == 0
    image, store = embedded.images()[0], embedded.open_store()
    store.delete([image.original_key or ""])
    missed = embedded.run("work", "--drain")

    again, built = embedded.run(*upload, "--json"), embedded.run("work", "--drain")

    assert (missed.code, again.code, again.summary["uploaded"], built.code) == (3, 0, 1, 0), again.err
    assert_whole(embedded, album.values(), status=Status.READY)


def test_lines_that_name_no_image_are_told(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))
    wanted = embedded.directory / "wanted.txt"
    wanted.write_text(f"{embedded.images()[0].id}\n{new_id(THEN)}\nnothing\n")

    result = embedded.run("repair", "--ids-from", wanted, "--json")

    assert (result.code, result.summary["bad_ids"]) == (3, 2), result.err
    assert f"{wanted}:3" in result.err


def test_the_command_that_show_names_mends_the_image(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))
    embedded.run("work", "--drain")
    image = embedded.images()[0]
    embedded.open_store().delete([image.medium_key or ""])

    [shown] = embedded.run("show", str(image.id), "--json").of("image")
    mended = embedded.run(*str(shown["mend"]).split()[1:], "--json")

    assert mended.summary["mended"] == 1
    assert [row.status for row in embedded.images()].count(Status.PROCESSING) == 1


def test_an_implausible_share_of_orphans_ends_before_anything_is_touched(embedded: Deployment) -> None:
    embedded.run("init")
    orphans = make_orphans(embedded)

    refused = embedded.run("repair", "--grace", "0s", "--delete-orphans", "--orphan-age", "0s", "--apply")

    assert refused.code == 1
    assert "--max-delete-percent" in refused.err
    assert contents(embedded) == orphans


def test_a_store_that_has_lost_everything_is_rather_the_wrong_one(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))
    rows = embedded.images()
    (tmp_path / "other").mkdir()
    elsewhere = replace(embedded, store=StoreSettings(url=f"file://{tmp_path}/other"))

    arguments = ("repair", "--grace", "0s", "--stuck-after", "0s", "--max-lost", "10")
    refused = elsewhere.run(*arguments, "--apply")
    unplanned = elsewhere.run(*arguments, "--plan", tmp_path / "repairs.jsonl")

    for result in (refused, unplanned):
        assert result.code == 1
        assert "20 originals are gone or never arrived" in result.err
    assert embedded.images() == rows
    assert not (tmp_path / "repairs.jsonl").exists()


def test_too_many_orphans_stop_every_repair_and_a_cured_finding_does_not(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))
    embedded.run("work", "--drain")
    image, store = embedded.images()[0], embedded.open_store()
    store.create(key_of(new_id(THEN), ORIGINAL, "jpg"), photo(99), content_type=JPEG)
    store.delete([image.thumb_key or ""])
    findings = tmp_path / "findings.ndjson"
    findings.write_text(embedded.run("audit", "--grace", "0s", "--json").out)

    refused = embedded.run("repair", findings, "--delete-orphans", "--max-delete", "0", "--apply")
    unchanged = embedded.images()[0]
    store.create(image.thumb_key or "", photo(0), content_type=JPEG)
    cured = embedded.run("repair", findings, "--apply", "--json")

    assert (refused.code, unchanged) == (1, image)
    assert cured.code == 0, cured.err
    assert cured.summary["well"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["findings.ndjson", "--user", str(USER)],
        ["--undelete", "yesterday"],
        ["--undelete", "all", "--id", "0190"],
        ["--plan", "p", "--apply"],
        ["missing.ndjson"],
        ["wrong.ndjson"],
    ],
)
def test_what_makes_no_sense_is_refused(embedded: Deployment, arguments: list[str]) -> None:
    (embedded.directory / "wrong.ndjson").write_text('{"type":"finding","code":"nonsense"}\n')

    assert embedded.run("repair", *arguments).code == 2


def test_orphans_survive_kills_at_any_instant_in_a_directory(embedded: Deployment) -> None:
    embedded.run("init")
    orphans, rng = make_orphans(embedded), random.Random("trash")
    began = time.monotonic()
    embedded.run(*_fill())
    usual_seconds = time.monotonic() - began
    for number in range(KILLS):
        command = _empty() if number % 2 == 0 else _fill()
        run = embedded.start(*command)
        kill_when(run, partial(_is_past, time.monotonic() + rng.uniform(0, usual_seconds)))
        assert found(embedded) == orphans
        again = embedded.run(*command)
        assert again.code == 0, again.err
        assert_all(embedded, orphans, in_trash=number % 2 == 1)


def test_orphans_survive_kills_at_any_request_in_a_bucket(servers: Deployment) -> None:
    servers.run("init")
    orphans, rng = make_orphans(servers), random.Random("bucket")
    for number in range(KILLS_BY_REQUEST):
        command = _fill() if number % 2 == 0 else _empty()
        kill_at_a_request(servers, command, REQUESTS, rng)
        assert found(servers) == orphans
        again = servers.run(*command)
        assert again.code == 0, again.err
        assert_all(servers, orphans, in_trash=number % 2 == 0)


def test_a_promise_that_is_dropped_while_its_bytes_are_in_flight_is_kept_all_the_same(
    servers: Deployment, album: dict[Path, bytes]
) -> None:
    servers.run("init")
    places = [place_of(album) / str(number) for number in range(3)]
    in_flight, released = Event(), Event()

    def policy(method: str, path: str, _number: int) -> Fault | None:
        if is_image_put(method, path):
            in_flight.set()
            # Blocks the proxy and its requests; the repair does not use it.
            released.wait(FOREVER)
        return None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        run = servers.through(proxy.url).start("upload", *places, "--user", str(USER))
        assert in_flight.wait(FOREVER)
        repaired = servers.run("repair", "--grace", "0s", "--stuck-after", "0s", "--apply", "--json")
        released.set()
        uploaded = run.wait()

    assert {one["do"] for one in repaired.of("repair")} == {"drop"}
    assert uploaded.code == 0, uploaded.err
    assert_whole(servers, album.values(), status=Status.PROCESSING)


def make_orphans(deployment: Deployment) -> dict[str, bytes]:
    store = deployment.open_store()
    keys = [key_of(new_id(THEN), ORIGINAL, "jpg") for _ in range(ORPHANS)]
    for number, key in enumerate(keys):
        store.create(key, photo(number % 5) + bytes([number]), content_type=JPEG)
    return contents(deployment)


def contents(deployment: Deployment) -> dict[str, bytes]:
    store = deployment.open_store()
    # A kill may leave the small object of the put-if-absent test.
    return {blob.key: store.get(blob.key) for blob in store.scan() if not blob.key.startswith(PROBES)}


def found(deployment: Deployment) -> dict[str, bytes]:
    """Return the content of every orphan, at its key or in the trash; it must be equal if it is at both."""
    everywhere: dict[str, bytes] = {}
    for key, data in contents(deployment).items():
        place = key_before(key) or key
        assert everywhere.setdefault(place, data) == data
    return everywhere


def assert_all(deployment: Deployment, orphans: dict[str, bytes], *, in_trash: bool) -> None:
    assert found(deployment) == orphans
    assert {key.startswith(TRASH) for key in contents(deployment)} == {in_trash}


def _fill() -> list[str]:
    return ["repair", "--grace", "0s", *TRASH_ALL]


def _empty() -> list[str]:
    return ["repair", "--undelete", "all", "--apply"]


def _is_past(instant: float) -> bool:
    return time.monotonic() > instant
