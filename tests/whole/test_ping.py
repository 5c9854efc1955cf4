"""Pings of a monitor: it receives the start and the end of a command, and can neither fail nor delay it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.monitor import Monitor, monitoring
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment

SECRET = "3e6dd2b8-secret"


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with monitoring() as found:
        yield found


def watched_by(deployment: Deployment, url: str) -> Deployment:
    return deployment.with_settings(
        NOTIFY_PING_URL=url, LOG_FILE=str(deployment.directory / "log"), LOG_FORMAT="json", LOG_LEVEL="debug"
    )


def warnings(deployment: Deployment) -> list[str]:
    lines = map(json.loads, (deployment.directory / "log").read_text().splitlines())
    return [line["message"] for line in lines if line["level"] == "warning"]


def test_a_run_is_reported_with_its_summary(embedded: Deployment, monitor: Monitor, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(photo(1))
    deployment = watched_by(embedded, f"{monitor.url}/key/imgctl-{{command}}?create=1")

    done = deployment.run("upload", tmp_path / "1.jpg", "--user", str(USER))

    assert done.code == 0
    assert monitor.paths == ["/key/imgctl-upload/start", "/key/imgctl-upload"]
    begun, ended = monitor.pings
    assert begun.run == ended.run
    first, summary = ended.body.splitlines()
    assert "imgctl upload on" in first and "exit code 0" in first
    assert json.loads(summary)["uploaded"] == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("upload", "photos", "--user", str(USER)), 3),
        (("upload", "nowhere", "--user", str(USER)), 3),
        (("upload", "photos"), 2),
        (("show", "0190b2b4-0000-7000-8000-00000000abcd"), 1),
        (("cost", "actual", "--by", "user"), 0),
        (("audit", "--grace", "0s"), 4),
    ],
)
def test_a_failure_is_reported_with_its_exit_code(
    embedded: Deployment, monitor: Monitor, arguments: tuple[str, ...], code: int
) -> None:
    assert embedded.run("init").code == 0
    photos = embedded.directory / "photos"
    photos.mkdir()
    (photos / "damaged.jpg").write_bytes(photo(1)[:20])
    (photos / "cat.svg").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    stray = embedded.directory / "blobs/2020/01/01/stray.jpg"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"nobody's")

    done = watched_by(embedded, f"{monitor.url}/{{command}}").run(*arguments)

    assert done.code == code
    name = "cost-actual" if arguments[0] == "cost" else arguments[0]
    assert monitor.paths == [f"/{name}/start", f"/{name}" + (f"/{code}" if code else "")]
    assert f"exit code {code} " in monitor.pings[1].body
    if code in (1, 2):
        assert done.err.strip().splitlines()[-1] in monitor.pings[1].body


def test_of_a_killed_run_only_the_start_is_reported(embedded: Deployment, monitor: Monitor) -> None:
    run = watched_by(embedded, monitor.url).start("work")
    monitor.wait_for(1)
    run.kill()
    run.wait()

    assert monitor.paths == ["/start"]


@pytest.mark.parametrize(("status", "tries"), [(500, 2), (404, 1), (302, 1)])
def test_a_monitor_that_fails_is_tried_again_and_named_without_its_secret(
    embedded: Deployment, status: int, tries: int
) -> None:
    with monitoring(lambda _number: status) as monitor:
        deployment = watched_by(embedded, f"{monitor.url.replace('//', '//me:p%40ss@')}/{SECRET}")
        done = deployment.run("find", "-v")

    assert done.code == 0
    assert monitor.paths == [f"/{SECRET}/start"] * tries + [f"/{SECRET}"] * tries
    # me:p@ss
    assert {one.authorization for one in monitor.pings} == {"Basic bWU6cEBzcw=="}
    assert warnings(deployment) == [
        f"the monitor was not pinged when imgctl find {verb}: 127.0.0.1 responded with {status}"
        for verb in ("began", "ended")
    ]
    for text in (done.out, done.err, (deployment.directory / "log").read_text()):
        assert SECRET not in text
        assert "p%40ss" not in text and "p@ss" not in text


def test_an_unreachable_monitor_fails_nothing(embedded: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    deployment = watched_by(embedded, f"http://127.0.0.1:{port}/{SECRET}")

    assert deployment.run("ls").code == 0
    assert len(warnings(deployment)) == 2
    assert all("127.0.0.1 is unreachable" in one for one in warnings(deployment))


def test_an_impossible_url_is_refused_without_its_password(embedded: Deployment) -> None:
    for url in ("htp://me:hidden@monitor", "http://[::me:hidden@"):
        done = embedded.with_settings(NOTIFY_PING_URL=url).run("ls")

        assert done.code == 2
        assert "hidden" not in done.err
