"""The documentation's sessions: every console block prints what the page shows."""

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.parts.ports import free_port
from tests.parts.seaweed import S3Server
from tests.whole.blocks import Shell, blocks_of, lines_of, write_stage
from tests.whole.deployment import USER, Deployment
from tests.whole.sessions import at, matched, play, session_of, write_photos
from tools.docs import PAGES, ROOT

SESSIONS = {
    str(page.relative_to(ROOT)): session for page in PAGES if (session := session_of(page.read_text(encoding="utf-8")))
}
BLOCKS = {
    str(page.relative_to(ROOT)): blocks for page in PAGES if (blocks := blocks_of(page.read_text(encoding="utf-8")))
}


def _get_ready(deployment: Deployment) -> None:
    """Upload the pictures, build their variants, and let 120 days pass."""
    for command in (["init"], ["upload", "photos", "--user", USER], ["work", "--drain"]):
        assert deployment.run(*map(str, command)).code in {0, 3}
    promised = (datetime.now(UTC) - timedelta(days=120)).replace(tzinfo=None).isoformat(timespec="microseconds")
    with sqlite3.connect(deployment.directory / "imgctl-data/catalog.db") as catalog:
        catalog.execute("UPDATE images SET promised_at = ?", (promised,))
    catalog.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's pictures."""
    place = tmp_path_factory.mktemp("sessions")
    write_photos(place)
    return place


@pytest.fixture(scope="module")
def ready(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures, uploaded to the embedded store, with variants."""
    place = tmp_path_factory.mktemp("ready")
    shutil.copytree(photos, place, dirs_exist_ok=True)
    _get_ready(at(place))
    return place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory for one session."""
    directory = tmp_path / "session"
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", [name for name, session in SESSIONS.items() if not session.server])
def test_session_on_the_embedded_default_prints_what_the_page_shows(
    name: str, place: Path, photos: Path, request: pytest.FixtureRequest
) -> None:
    session = SESSIONS[name]
    begins: Path = photos if session.start == "fresh" else request.getfixturevalue("ready")
    shutil.copytree(begins, place)

    wrong = play(session, at(place))

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [name for name, session in SESSIONS.items() if session.server])
def test_session_on_a_bucket_prints_what_the_page_shows(
    name: str, place: Path, photos: Path, request: pytest.FixtureRequest
) -> None:
    session = SESSIONS[name]
    server: S3Server = request.getfixturevalue("seaweed" if session.server == "seaweed" else "moto_s3")
    shutil.copytree(photos, place)
    deployment = at(place, server.settings(server.new_bucket()))
    if session.start == "ready":
        _get_ready(deployment)

    wrong = play(session, deployment)

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", BLOCKS)
def test_shell_block_runs_line_by_line(
    name: str, place: Path, ready: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(BLOCKS[name])
    shutil.copytree(ready, place)
    monkeypatch.chdir(place)
    deployment = at(place).with_settings(SERVE_SECRET="what signs receipts")
    images = deployment.images()
    stand_ins = {
        r"0190b2b4-0000-7000-8000-00000000abcd|\b0190b2b4\b(?!-)": str(images[0].id),
        "/mnt/": f"{place}/",
        "~/": f"{place}/",
        "/tmp/case": f"{place}/case",
        "/var/lib/node_exporter": f"{place}/node_exporter",
        "/var/lib/imgctl": f"{place}/state",
        "--metrics-port 9108": f"--metrics-port {free_port()}",
    }
    if "postgresql" in text:
        stand_ins["postgresql.psycopg://imgctl@db.example.org/photos"] = request.getfixturevalue("postgres_url")
    if "s3://" in text:
        server: S3Server = request.getfixturevalue("moto_s3")
        stand_ins |= {
            r"s3://(my-)?photos": server.settings(server.new_bucket()).url,
            r"IMGCTL_STORE_ENDPOINT_URL=": f"IMGCTL_STORE_ENDPOINT_URL={server.endpoint_url}",
            "http://127.0.0.1:8333": server.endpoint_url,
            "https://s3.example.org": server.endpoint_url,
            "s3://old-photos": f"s3://{server.new_bucket()}",
        }
        deployment = deployment.in_environment(AWS_ENDPOINT_URL_S3=server.endpoint_url)
        deployment = deployment.with_settings(STORE_ENDPOINT_URL=server.endpoint_url)
    store = deployment.open_store()
    store.create("old/1.jpg", (place / "photos/summer/beach-0.jpg").read_bytes() + b"old", content_type="image/jpeg")
    write_stage(place, ["old/1.jpg"])
    (place / "wanted.txt").write_text(f"{images[0].id}\n")
    shell = Shell(deployment=deployment, stand_ins=stand_ins)

    wrong = [said for block in BLOCKS[name] for line in lines_of(block) if (said := shell.run(line))]
    wrong += shell.close()

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("10 ready\n", "10 ready\n"),
        ("damaged …: cut off\n10 ready\n", "damaged 01a21e54-1fcb-7ff9-a1d7-c78b8e72168e: cut off\n10 ready\n"),
        ("…\n10 ready\n", "10 ready\n"),
        ("ok\n…\n10 ready\n", "ok\nok\nok\n10 ready\n"),
        ("2026-11-22 09:11  a\n", "2026-11-23 10:12  a\n"),
        ("", "whatever\n"),
    ],
)
def test_what_an_ellipsis_stands_for(shown: str, printed: str) -> None:
    assert matched(shown, printed) is not None


@pytest.mark.parametrize(("shown", "printed"), [("10 ready\n", "9 ready\n"), ("a…b\n", "a\nb\n"), ("a\n", "a\nb\n")])
def test_what_an_ellipsis_does_not_stand_for(shown: str, printed: str) -> None:
    assert matched(shown, printed) is None
