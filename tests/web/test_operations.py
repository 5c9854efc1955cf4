"""Health, metrics, logs and pages of a server, and the headers of every response."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from imgctl.config.service import LogSettings, ServeSettings
from imgctl.config.settings import Settings
from imgctl.ops.support.history import Wanted, history
from imgctl.run.logs import configure
from imgctl.store.catalog.schema import images
from imgctl.web.auth import Scope
from tests.web.server import USER, Served, served, token
from tests.whole.conftest import photo

PAGES = ("/", "/docs", "/login", f"/users/{USER}", "/nothing")


@pytest.fixture
def access_log(tmp_path: Path) -> Iterator[Path]:
    """The log file of this process, as JSON lines."""
    file = tmp_path / "log"
    configure(LogSettings(file=str(file), format="json"), verbosity=-1)
    yield file
    configure(LogSettings(), verbosity=0)
    logging.raiseExceptions = True
    logging.captureWarnings(capture=False)


def test_health_and_readiness_are_reported(either: Served) -> None:
    alive, ready = either.client.get("/healthz"), either.client.get("/readyz")

    assert (alive.status_code, ready.status_code) == (200, 200)
    assert ready.json() == {"ok": True, "why": {}}


def test_metrics_count_requests_uploads_and_the_backlog(either: Served) -> None:
    either.send(photo(1))
    either.client.get("/images/nothing")
    text = either.client.get("/metrics").text

    assert 'imgctl_http_requests_total{method="POST",route="/images",status="201"} 1.0' in text
    assert 'imgctl_http_requests_total{method="GET",route="/images/{image_id}",status="422"} 1.0' in text
    assert f"imgctl_received_bytes_total {float(len(photo(1)))}" in text
    assert "imgctl_backlog_images 1.0" in text
    assert "imgctl_catalog_up 1.0" in text


def test_every_response_has_a_request_id_and_strict_headers(shared: Served) -> None:
    named = shared.client.get("/healthz", headers={"X-Request-Id": "abc-1"})
    renamed = shared.client.get("/healthz", headers={"X-Request-Id": "no\tname"})
    for path in (*PAGES, "/images", "/openapi.json", "/assets/gallery.js"):
        answer = shared.client.get(path, headers={"Accept": "text/html"})
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "unsafe" not in answer.headers["content-security-policy"]

    assert named.headers["x-request-id"] == "abc-1"
    assert re.fullmatch("[0-9a-f]{16}", renamed.headers["x-request-id"])


@pytest.mark.parametrize("path", PAGES)
def test_pages_load_nothing_from_other_sites_and_have_no_inline_script(shared: Served, path: str) -> None:
    text = shared.client.get(path, headers={"Accept": "text/html"}).text

    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", text)


def test_the_reference_shows_every_operation(shared: Served) -> None:
    document = shared.client.get("/openapi.json").json()
    page = shared.client.get("/docs").text
    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}

    assert len(operations) >= 12
    for _, path in operations:
        assert f"<code>{path}</code>" in page
    assert "`" not in page


@pytest.mark.parametrize(
    ("values", "title"),
    [
        (
            {"caption": "The <b> bride", "taken_at": datetime(2014, 3, 2, tzinfo=UTC), "name": "a.jpg"},
            "The &lt;b&gt; bride",
        ),
        ({"taken_at": datetime(2014, 3, 2, tzinfo=UTC), "name": "a.jpg"}, "Photo of 2 March 2014"),
        ({"name": "a<b>.jpg"}, "a&lt;b&gt;.jpg"),
        ({"name": None}, "Uploaded "),
    ],
)
def test_an_image_has_the_same_title_in_the_gallery_and_on_its_page(
    server: Served, values: dict[str, object], title: str
) -> None:
    image = server.send(photo(1))
    with server.parts.catalog.write() as connection:
        connection.execute(update(images).values(**values))

    gallery, page = (server.client.get(path).text for path in (f"/users/{USER}", f"/view/{image}"))

    assert f'title="{title}' in gallery
    assert f"<h2>{title}" in page


def test_the_log_has_a_line_for_each_request_without_secrets(local: Settings, access_log: Path) -> None:
    with served(local) as server:
        server.client.get(f"/users/{USER}/images?limit=3", headers={"Authorization": "Bearer sesame"})
    lines = [json.loads(line) for line in access_log.read_text().splitlines()]
    found = next(line for line in lines if line["logger"] == "imgctl.access")

    assert (found["method"], found["path"], found["status"]) == ("GET", f"/users/{USER}/images", 200)
    assert found["client"] == "127.0.0.1"
    assert found["seconds"] >= 0
    assert "sesame" not in access_log.read_text()


def test_the_log_names_token_and_image_of_an_upload_and_no_operation_does(local: Settings, access_log: Path) -> None:
    headers, line = token(Scope.READ, Scope.WRITE, name="phone")
    with served(replace(local, serve=replace(local.serve, tokens=(line,)))) as server:
        server.client.headers.update(headers)
        images = {str(server.send(photo(number))) for number in (1, 1, 2)}
        server.client.get("/images")
        recorded = [*history(server.parts.catalog, Wanted())]
    lines = [json.loads(line) for line in access_log.read_text().splitlines()]
    sent = [line for line in lines if line["logger"] == "imgctl.access" and line["method"] == "POST"]

    assert len(sent) == 3
    assert {(line["caller"], line["path"], line["image"]) for line in sent} == {
        ("phone", "/images", one) for one in images
    }
    # A row for each upload would be more rows than images.
    assert not recorded


def test_only_known_files_are_served(shared: Served) -> None:
    assert shared.client.get("/assets/gallery.css").headers["content-type"].startswith("text/css")
    for name in ("routes.py", "..%2Fapp.py", "%2e%2e/app.py"):
        assert shared.client.get(f"/assets/{name}").status_code == 404


# More processes than one are started by a program of its own: tests/whole/test_serve.py.
ELSEWHERE = {"port", "processes"}
BOUNDS = [
    field for field in fields(ServeSettings) if field.metadata["least"] is not None and field.name not in ELSEWHERE
]


@pytest.mark.parametrize("bound", ["least", "most"])
def test_a_server_runs_with_every_number_at_its_bound(local: Settings, bound: str) -> None:
    chosen = {field.name: type(getattr(ServeSettings(), field.name))(field.metadata[bound]) for field in BOUNDS}
    with served(replace(local, serve=replace(local.serve, **chosen))) as server:
        sent = server.client.post("/images", params={"user_id": str(USER)}, content=photo(1))
        seen = {server.client.get(path).status_code for path in ("/images", "/readyz", f"/users/{USER}", "/metrics")}

        assert sent.status_code == (413 if bound == "least" else 201), sent.text
        assert seen == {200}


@pytest.mark.parametrize("bound", ["least", "most"])
def test_a_pictures_links_work_with_the_shortest_and_the_longest_life(local: Settings, bound: str) -> None:
    (seconds,) = [field.metadata[bound] for field in BOUNDS if field.name == "links"]
    with served(replace(local, serve=replace(local.serve, links=float(seconds)))) as server:
        image = server.send(photo(1))
        server.work()
        url = server.client.get(f"/images/{image}").json()["variants"]["thumb"]["url"]

        assert server.client.get(url).status_code == 200
