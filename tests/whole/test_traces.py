"""Traces and metrics of an upload, a worker and a server, seen in an OTLP collector."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.parts.collector import Collector, Seen, collecting
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment
from tests.whole.test_serve import SERVE, address

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def traced(deployment: Deployment, collector: Collector, **settings: str) -> Deployment:
    log = {"LOG_FILE": str(deployment.directory / "log"), "LOG_FORMAT": "json", "LOG_LEVEL": "debug"}
    sent = deployment.with_settings(**{"OTEL_ENABLED": "true", "OTEL_SAMPLE": "1", **log, **settings})
    return sent.in_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="photos")


def logged(deployment: Deployment) -> list[dict[str, str]]:
    return [json.loads(line) for line in (deployment.directory / "log").read_text().splitlines()]


def in_order(steps: dict[str, Seen], *names: str) -> bool:
    return all(steps[one].began <= steps[two].began for one, two in pairwise(names))


def test_an_upload_and_its_rendering_are_one_trace_by_the_images_id(
    embedded: Deployment, collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "1.jpg").write_bytes(photo(1))
    deployment = traced(embedded, collector).with_pool()
    assert deployment.run("upload", tmp_path / "1.jpg", "--user", str(USER)).code == 0
    assert deployment.run("work", "--drain").code == 0
    [row] = deployment.images()

    [file], [image] = collector.named("file"), collector.named("image")
    uploaded, worked = collector.named("imgctl upload")[0], collector.named("imgctl work")[0]
    steps, stages = collector.below(file), collector.below(image)

    assert {UUID(file.trace), UUID(image.trace)} == {row.id}
    assert (file.links, image.links) == ((uploaded.trace,), (worked.trace,))
    assert file.about["imgctl.image.id"] == str(row.id)
    assert set(steps) == {"read", "promise", "put", "confirm"}
    assert in_order(steps, "read", "promise", "put", "confirm")
    assert set(stages) == {"claim", "fetch", "decode", "encode", "put thumb", "put medium", "put full", "finish"}
    assert in_order(stages, "claim", "fetch", "decode", "encode", "put thumb", "finish")
    for span in (file, image):
        assert all(span.began <= one.began <= one.ended <= span.ended for one in collector.below(span).values())
    assert file.ended <= image.began
    assert (uploaded.about["process.exit.code"], uploaded.resource["service.name"]) == ("0", "photos")
    assert collector.metrics["imgctl_items{command=upload,fate=uploaded}"] == 1
    assert collector.metrics["imgctl_items{command=work,fate=ready}"] == 1
    assert collector.metrics["imgctl_item_seconds{command=work}"] == 1
    assert collector.metrics["imgctl_command_exit_code{command=work}"] == 0


def test_failures_are_traced_whatever_the_share_and_the_rest_by_the_images_id(
    embedded: Deployment, collector: Collector, tmp_path: Path
) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(40):
        (place / f"{number}.jpg").write_bytes(photo(number))
    few = traced(embedded, collector).in_environment(
        OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5"
    )
    assert few.run("upload", place, "--user", str(USER)).code == 0
    kept = {UUID(one.trace) for one in collector.named("file")}
    for image in few.images()[:1]:
        (embedded.directory / "blobs" / str(image.original_key)).write_bytes(photo(99)[:500])
        damaged = image.id
    assert few.with_settings(WORK_MAX_ATTEMPTS="1").run("work", "--drain").code == 3

    images = {UUID(one.trace): one for one in collector.named("image")}
    assert 5 <= len(kept) <= 35
    assert set(images) == kept | {damaged}
    assert images[damaged].error
    assert not [one for one in images.values() if one.error and UUID(one.trace) != damaged]


def test_log_lines_of_a_run_name_its_trace(embedded: Deployment, collector: Collector) -> None:
    deployment = traced(embedded, collector)
    result = deployment.run("show", "no-such-image")

    [shown] = collector.named("imgctl show")
    assert shown.error == f"exit code {result.code}"
    assert {line["trace_id"] for line in logged(deployment)} == {shown.trace}


def test_a_request_belongs_to_its_callers_trace(embedded: Deployment, collector: Collector) -> None:
    run = traced(embedded, collector, OTEL_SAMPLE="0").start(*SERVE)
    url = address(run)
    sent = httpx.post(
        f"{url}/images",
        params={"user_id": str(USER)},
        content=photo(1),
        headers={"traceparent": f"00-{CALLER}-00f067aa0ba902b7-01"},
    )
    httpx.get(f"{url}/images/{sent.json()['id']}")
    httpx.get(f"{url}/healthz")
    os.kill(run.process.pid or 0, signal.SIGTERM)
    assert run.wait().code == 0

    [request] = [one for one in collector.spans if "http.route" in one.about]
    assert request.name == "POST /images"
    assert (request.trace, request.parent) == (CALLER, "00f067aa0ba902b7")
    assert (request.about["http.route"], request.about["http.response.status_code"]) == ("/images", "201")
    steps = collector.below(request)
    assert in_order(steps, "promise", "put", "confirm")
    access = [line for line in logged(embedded) if line["logger"] == "imgctl.access"]
    assert access[0]["trace_id"] == CALLER
    assert len({line["trace_id"] for line in access[:2]}) == 2


def test_nothing_of_it_is_imported_unless_enabled(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(photo(1))
    code = (
        "import sys\nfrom imgctl.cli.main import run\n"
        f"code = run(['upload', {str(tmp_path / '1.jpg')!r}, '--user', '{USER}', '-q'])\n"
        "loaded = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print(code, [one for one in loaded if one in ('opentelemetry', 'prometheus_client', 'google', 'requests')])"
    )
    environment = {"PATH": os.defpath, **embedded.environment()}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0 []"


@pytest.mark.parametrize(
    "variable",
    [{"OTEL_METRIC_EXPORT_INTERVAL": "0"}, {"OTEL_BSP_MAX_QUEUE_SIZE": "0"}],
    ids=lambda one: next(iter(one)),
)
def test_a_variable_that_the_sdk_rejects_is_a_configuration_error(
    embedded: Deployment, variable: dict[str, str]
) -> None:
    done = embedded.with_settings(OTEL_ENABLED="true").in_environment(**variable).run("work", "--drain")

    assert done.code == 2
    assert "imgctl: OpenTelemetry cannot start: " in done.err
    assert "OTEL_… variables" in done.err
