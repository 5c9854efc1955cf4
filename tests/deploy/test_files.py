"""The files of deploy/ are valid for systemd, Compose, Kubernetes and Terraform, and their command lines parse."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imgctl.errors import ExitCode
from imgctl.ops.work.driver import PROCESSES_PER_JOB
from imgctl.run.telemetry.metrics import ALL
from imgctl.units import parse_bytes
from tools.docs import ROOT, commands, parse

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
PROGRAM = "/opt/imgctl/bin/imgctl"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = DEPLOY / "compose/compose.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KUBERNETES = "1.32"
# Tests import kubernetes_validate and hcl2 themselves: each process collects all tests, and these took a third of that.


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in MANIFESTS:
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            yield f"{file.name}:{one['kind']}", one


def containers(node: object) -> Iterator[dict[str, Any]]:
    """Yield every container of a manifest."""
    if isinstance(node, dict):
        for name, below in node.items():
            if name in {"containers", "initContainers"}:
                yield from below
            yield from containers(below)
    elif isinstance(node, list):
        for below in node:
            yield from containers(below)


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield every command line of imgctl in deploy/, with its place."""
    for unit in UNITS:
        [line] = re.findall(rf"^ExecStart={PROGRAM} (.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
        yield unit.name, shlex.split(line)
    for name, service in yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"].items():
        if service.get("image") == "imgctl:local":
            yield f"compose {name}", service["command"]
    for name, manifest in documents():
        for one in containers(manifest):
            if "command" not in one:
                yield f"{name} {one['name']}", list(map(str, one["args"]))
    container = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    for listed in re.findall(r"CMD (\[.*\])$", container, re.MULTILINE):
        yield "Containerfile", [one for one in json.loads(listed) if one != PROGRAM]


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in command_lines()])
def test_command_line_is_valid(line: list[str]) -> None:
    assert parse(line) in commands()


def test_every_kind_of_file_has_command_lines() -> None:
    found = " ".join(name for name, _ in command_lines())

    assert all(kind in found for kind in ("imgctl-work.service", "compose serve", "CronJob upload", "Containerfile"))


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copy the units, with a program that exists on this machine."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    place = tmp_path / "units"
    shutil.copytree(DEPLOY / "systemd", place)
    for unit in place.glob("*.service"):
        unit.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, f"{BIN}/imgctl"), encoding="utf-8")
    return place


def test_systemd_accepts_every_unit(units: Path) -> None:
    names = sorted(one.name for kind in ("service", "timer") for one in units.glob(f"*.{kind}"))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        cwd=units, capture_output=True, text=True, check=False,
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip

    assert [line for line in done.stderr.splitlines() if "imgctl" in line] == []


def test_units_can_read_the_configuration_as_the_page_installs_it() -> None:
    page = (ROOT / "docs/operations/run.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```text\n(.*?systemd-sysusers.*?)^```", page, re.MULTILINE | re.DOTALL)
    [group] = re.findall(
        r"^Group=(.*)$", (DEPLOY / "systemd/imgctl-.service.d/hardening.conf").read_text(), re.MULTILINE
    )
    _, _, after = block.partition("systemd-sysusers\n")

    installed = [line for line in re.split(r"\n|&&", block) if "/etc/imgctl" in line.partition("#")[0]]
    assert len(installed) == 2
    assert all(f"-g {group} " in line and line.strip() in after for line in installed)
    assert [re.search(r"-m (\d+)", line)[1] for line in installed] == ["750", "640"]  # type: ignore[index]


def test_page_creates_each_directory_and_the_catalog_before_it_starts_the_units() -> None:
    page = (ROOT / "docs/operations/run.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```text\n(.*?systemd-sysusers.*?)^```", page, re.MULTILINE | re.DOTALL)
    before, _, _ = block.partition("systemctl enable --now")
    [drop_in] = (DEPLOY / "systemd").glob("*.service.d")

    # Debian has no /etc/sysusers.d.
    assert re.search(r"^install -D .* /etc/sysusers\.d/", before, re.MULTILINE)
    [transient] = re.findall(rf"^systemd-run --unit=(\S+) .* {PROGRAM} init", before, re.MULTILINE)
    assert transient.startswith(drop_in.name.removesuffix(".service.d"))


@pytest.mark.parametrize("unit", [pytest.param(one, id=one.stem) for one in UNITS])
def test_units_that_upload_a_directory_require_its_mount(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")

    assert ("/srv/incoming" in text.partition("ExecStart=")[2]) == ("\nRequiresMountsFor=/srv/incoming\n" in text)


def test_a_process_killed_for_memory_does_not_stop_its_unit() -> None:
    shared = (DEPLOY / "systemd/imgctl-.service.d/hardening.conf").read_text(encoding="utf-8")

    assert "\nOOMPolicy=continue\n" in shared


@pytest.mark.parametrize("name", ["work", "listen", "watch"])
def test_a_stop_after_failed_items_is_no_failure_of_the_service(name: str) -> None:
    unit = (DEPLOY / f"systemd/imgctl-{name}.service").read_text(encoding="utf-8")

    assert f"\nSuccessExitStatus={ExitCode.PARTLY.value}\n" in unit


def test_mistake_in_a_unit_is_found(units: Path) -> None:
    unit = units / "imgctl-work.service"
    unit.write_text(unit.read_text(encoding="utf-8").replace("WatchdogSec=", "WatchdogSecs="), encoding="utf-8")

    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)

    assert "WatchdogSecs" in done.stderr


def test_every_timer_has_its_service_and_catches_up_on_missed_runs() -> None:
    timers = sorted((DEPLOY / "systemd").glob("*.timer"))

    assert {one.stem for one in timers} == {"imgctl-upload", "imgctl-backfill", "imgctl-audit", "imgctl-transition"}
    assert all(one.with_suffix(".service") in UNITS for one in timers)
    assert all("Persistent=true" in one.read_text(encoding="utf-8") for one in timers)


def composed(*options: str, **environment: str) -> dict[str, dict[str, Any]]:
    """Return the services as Compose reads them."""
    done = subprocess.run(
        [BIN / "docker-compose", "-f", COMPOSE, *options, "config", "--format", "json"],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return dict(json.loads(done.stdout)["services"])


def test_docker_compose_accepts_the_file_with_two_workers() -> None:
    services = composed()

    assert services["worker"]["deploy"]["replicas"] == 2
    ours = {name: one for name, one in services.items() if one.get("image") == "imgctl:local"}
    assert set(ours) == {"init", "worker", "serve"}
    assert all(one["read_only"] and one["cap_drop"] == ["ALL"] for one in ours.values())
    published = [port for one in services.values() for port in one.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_compose_builds_its_image_and_asks_no_registry_for_it() -> None:
    ours = [one for one in composed("--profile", "tools").values() if one.get("image") == "imgctl:local"]

    assert [one["pull_policy"] for one in ours] == ["never"] * 4
    assert sum("build" in one for one in ours) == 1


def test_every_port_of_compose_can_be_changed() -> None:
    ports = {"IMGCTL_SERVE_PORT": "18080", "IMGCTL_DB_PORT": "15432", "IMGCTL_S3_PORT": "18333"}
    services = composed(**ports)
    serve = services.pop("serve")

    assert serve["environment"]["IMGCTL_SERVE_PORT"] == "18080"
    assert "127.0.0.1:18080/" in serve["healthcheck"]["test"][-1]
    assert ":15432/" in serve["environment"]["IMGCTL_CATALOG_URL"]
    assert serve["environment"]["IMGCTL_STORE_ENDPOINT_URL"].endswith(":18333")
    assert {port["published"] for one in services.values() for port in one.get("ports", [])} == {"15432", "18333"}


def test_uploads_in_containers_keep_their_journal() -> None:
    [home] = re.findall(r"\bHOME=(\S+)", (DEPLOY / "Containerfile").read_text(encoding="utf-8"))
    manifests = list(documents())
    [pod] = [pod for _, one in manifests if one.get("metadata", {}).get("name") == "imgctl-upload" for pod in pods(one)]
    claims = {one["metadata"]["name"] for _, one in manifests if one["kind"] == "PersistentVolumeClaim"}
    [container] = pod["spec"]["containers"]
    [mount] = [one["name"] for one in container["volumeMounts"] if one["mountPath"] == home]
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == mount]

    assert volume["persistentVolumeClaim"]["claimName"] in claims
    assert pod["spec"]["securityContext"]["fsGroup"] == pod["spec"]["securityContext"]["runAsUser"]
    assert [one["target"] for one in composed("--profile", "tools")["upload"]["volumes"]] == [home]


@pytest.mark.parametrize("manifest", [pytest.param(one, id=name) for name, one in documents()])
def test_kubernetes_accepts_the_manifest(manifest: dict[str, object]) -> None:
    import kubernetes_validate

    if str(manifest["apiVersion"]).split("/")[0] not in {"keda.sh", "kustomize.config.k8s.io"}:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)

    for one in containers(manifest):
        guarded = one["securityContext"]
        assert guarded == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def pods(node: object) -> Iterator[dict[str, Any]]:
    """Yield the template of every pod in a manifest."""
    if isinstance(node, dict):
        if isinstance(spec := node.get("spec"), dict) and "containers" in spec:
            yield node
        for below in node.values():
            yield from pods(below)


@pytest.mark.parametrize("manifest", [pytest.param(one, id=name) for name, one in documents()])
def test_no_pod_has_service_links_in_its_environment(manifest: dict[str, object]) -> None:
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(manifest))


@pytest.mark.parametrize("manifest", [pytest.param(one, id=name) for name, one in documents()])
def test_rendering_fits_into_its_container(manifest: dict[str, object]) -> None:
    for one in containers(manifest):
        args = list(map(str, one.get("args", ())))
        if args[:1] not in (["work"], ["backfill"]) or "--scheduler" in args:
            continue
        settings = {each["name"]: each["value"] for each in one["env"]}
        processes = int(args[args.index("--jobs") + 1]) * PROCESSES_PER_JOB
        most = one["resources"]["limits"]["memory"]

        assert processes * parse_bytes(settings["IMGCTL_WORK_MEMORY"]) < parse_bytes(f"{most}B")


def test_dask_workers_fit_into_their_container_whatever_the_node() -> None:
    found = {one["name"]: one for name, manifest in documents() if "dask" in name for one in containers(manifest)}
    worker, settings = found["worker"], {one["name"]: one["value"] for one in found["driver"]["env"]}
    command = worker["command"]
    processes = int(command[command.index("--nworkers") + 1])
    most = parse_bytes(command[command.index("--memory-limit") + 1])

    assert processes * most <= parse_bytes(f"{worker['resources']['limits']['memory']}B")
    # Dask ends a worker at 95 % of its limit.
    assert parse_bytes(settings["IMGCTL_WORK_MEMORY"]) < 0.95 * most


@pytest.mark.parametrize("manifest", [pytest.param(one, id=name) for name, one in documents() if "CronJob" in name])
def test_nightly_runs_may_finish_what_is_in_flight(manifest: dict[str, object]) -> None:
    assert [pod["spec"]["terminationGracePeriodSeconds"] for pod in pods(manifest)] == [90]


@pytest.mark.parametrize("file", ["work.yaml", "dask.yaml"])
def test_catalog_is_upgraded_before_rendering_starts(file: str) -> None:
    [starting] = [
        one
        for name, manifest in documents()
        if name.startswith(file)
        for pod in pods(manifest)
        for one in pod["spec"].get("initContainers", [])
    ]

    assert starting["args"] == ["init", "--quiet"]


@pytest.mark.parametrize("manifest", [pytest.param(one, id=name) for name, one in documents()])
def test_scraped_ports_serve_metrics_without_a_token(manifest: dict[str, object]) -> None:
    for pod in pods(manifest):
        port = pod.get("metadata", {}).get("annotations", {}).get("prometheus.io/port")
        if port is None:
            continue
        [one] = pod["spec"]["containers"]

        assert one["args"][one["args"].index("--metrics-port") + 1] == port
        assert {"name": "IMGCTL_METRICS_HOST", "value": "0.0.0.0"} in one["env"]


def test_mistake_in_a_manifest_is_found() -> None:
    import kubernetes_validate

    manifest = dict(documents())["work.yaml:Deployment"]
    manifest["spec"]["replica"] = 3

    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_every_manifest_is_listed_in_the_kustomization() -> None:
    text = (DEPLOY / "kubernetes/kustomization.yaml").read_text(encoding="utf-8")

    assert [one.name for one in MANIFESTS if one.name not in text and one.name != "kustomization.yaml"] == []


def test_workers_scale_on_a_metric_that_imgctl_serves() -> None:
    scaled = dict(documents())["work-keda.yaml:ScaledObject"]

    [query] = re.findall(r"imgctl_\w+", json.dumps(scaled["spec"]))
    assert query in {metric.name for metric in ALL}


def terraform() -> dict[str, list[dict[str, object]]]:
    import hcl2

    found: dict[str, list[dict[str, object]]] = {}
    for file in sorted((DEPLOY / "terraform").glob("*.tf")):
        for kind, blocks in hcl2.loads(file.read_text(encoding="utf-8")).items():
            found.setdefault(kind, []).extend(blocks)
    return found


def test_terraform_uses_only_declared_names() -> None:
    text = "".join(one.read_text(encoding="utf-8") for one in (DEPLOY / "terraform").glob("*.tf"))
    declared = {name.strip('"') for one in terraform()["variable"] for name in one}

    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared
    made = set(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"\b(aws_\w+)\.(\w+)\.", text)) - made <= {
        ("aws_iam_policy_document", "imgctl"),
        ("aws_iam_policy_document", "cold"),
    }


def test_policy_allows_the_permissions_of_the_page_and_no_others() -> None:
    text = (DEPLOY / "terraform/main.tf").read_text(encoding="utf-8")
    page = (ROOT / "docs/operations/permissions.md").read_text(encoding="utf-8")
    allowed = set(re.findall(r"s3:\w+", text))

    assert allowed <= set(re.findall(r"s3:\w+", page))
    assert set(re.findall(r"s3:\w+", page.partition("```json")[2].partition("```")[0])) <= allowed
    assert "s3:*" not in text
