"""Servers without put-if-absent: doctor and init report it, uploads send a HEAD instead and report it once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.model import Status
from tests.parts.middlebox import Reply, Seen, middlebox, s3_error
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Result, assert_whole


def conditions_are_not_implemented(seen: Seen) -> Reply | None:
    return s3_error(501, "NotImplemented") if seen.method == "PUT" and "if-none-match" in seen.headers else None


@pytest.fixture(params=["ignored", "not_implemented"])
def lacking(request: pytest.FixtureRequest, embedded: Deployment, rclone_s3: S3Server) -> Iterator[Deployment]:
    """A deployment on rclone's server, which ignores the condition, and one on a server that returns 501 for it."""
    store = rclone_s3.settings(rclone_s3.new_bucket())
    rule = conditions_are_not_implemented if request.param == "not_implemented" else lambda _: None
    with middlebox(rclone_s3.endpoint_url, rule=rule) as box:
        yield replace(embedded, store=replace(store, endpoint_url=box.url))


@pytest.mark.parametrize("command", ["doctor", "init"])
def test_checks_name_the_condition_its_consequence_and_go_on(command: str, lacking: Deployment) -> None:
    lacking.run("init")
    people, programs = lacking.run(command), lacking.run(command, "--json")

    (line,) = [line for line in people.out.splitlines() if line.split()[1] == "put-if-absent"]
    assert line.startswith("warn")
    assert "If-None-Match" in line
    assert "HEAD before each put" in line
    levels = {str(check["name"]): check["level"] for check in programs.of("check")}
    assert levels["put-if-absent"] == "warn"
    assert levels["order"] == levels["etag"] == "ok"
    assert people.code == programs.code == 0
    assert list(lacking.open_store().scan()) == []


def test_an_upload_keeps_existing_blobs_and_reports_the_head_once(
    lacking: Deployment, album: dict[Path, bytes], request: pytest.FixtureRequest
) -> None:
    log = lacking.directory / "imgctl.log"
    first = lacking.run("upload", place_of(album), "--user", str(USER), "--json", "--log-file", log)
    again = lacking.run("upload", place_of(album), "--user", str(USER), "--journal", "none")
    more = lacking.directory / "more"
    more.mkdir()
    (more / "new.jpg").write_bytes(photo(99))

    assert first.code == again.code == 0
    kept = request.node.callspec.params["lacking"]
    assert first.summary["put_if_absent"] == kept
    assert log.read_text().count("If-None-Match") == 1
    assert len(lacking.images()) == len(set(album.values()))
    assert "If-None-Match" in lacking.run("upload", more, "--user", str(USER)).out
    # Nothing was put.
    assert "If-None-Match" not in again.out


def test_what_another_run_put_since_the_promise_is_not_written_again(
    embedded: Deployment, album: dict[Path, bytes], rclone_s3: S3Server
) -> None:
    # Why there is a HEAD even for keys of this run: any run may finish its promise.
    direct = replace(embedded, store=rclone_s3.settings(rclone_s3.new_bucket()))
    others: list[Result] = []

    def another_run_is_faster(seen: Seen) -> Reply | None:
        if "-original." in seen.path and not others:
            others.append(direct.run("upload", place_of(album), "--user", str(USER), "--journal", "none", "--json"))
        return None

    with middlebox(rclone_s3.endpoint_url, rule=another_run_is_faster) as box:
        # One at a time: the other run ends before the first of these puts.
        run = direct.through(box.url).run("upload", place_of(album), "--user", str(USER), "--concurrency", "1")

    assert run.code == others[0].code == 0
    assert others[0].summary["uploaded"] == len(set(album.values()))
    assert [seen.path for seen in box.puts() if "-original." in seen.path] == []
    assert_whole(direct, album.values(), status=Status.PROCESSING)


def test_an_upload_reports_it_in_its_summary(lacking: Deployment, album: dict[Path, bytes]) -> None:
    printed = lacking.run("upload", place_of(album), "--user", str(USER)).out

    assert printed.count("If-None-Match") == 1
