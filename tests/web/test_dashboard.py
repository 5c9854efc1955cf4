"""Alert rules and dashboard: each expression parses, and queries only series, labels and values that imgctl serves."""

import json
import re
from collections.abc import Iterator

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, Expr, MatchOp, VectorSelector

from imgctl.ops.audit.findings import Code
from imgctl.ops.ingest.outcome import Fate as Uploaded
from imgctl.ops.work.options import Fate as Made
from imgctl.run.telemetry.metrics import (
    ALL,
    ENDED,
    EXIT_CODE,
    FINDINGS,
    OF_COMMANDS,
    OF_THE_CATALOG,
    OF_THE_SERVER,
    REQUEST_SECONDS,
    REQUESTS,
    RUNNING,
    STARTED,
    SUCCEEDED,
    Meter,
    Metric,
)
from imgctl.run.telemetry.prometheus import Prometheus
from tools.docs import ROOT, commands

PAGE = (ROOT / "docs/operations/monitoring.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/imgctl.json").read_text(encoding="utf-8"))
# They say when and what, not how it is going.
NOT_SHOWN = {"imgctl_build_info", "imgctl_command_start_timestamp_seconds"}
PANELS = [pytest.param(one, id=one["title"]) for one in DASHBOARD["panels"]]
ALERTS = [pytest.param(rule, id=rule["alert"]) for group in RULES["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def served() -> dict[str, dict[str, set[str]]]:
    """The series that imgctl has: their names, each with its labels and their values."""
    sink = Prometheus((*OF_COMMANDS, *OF_THE_SERVER))
    watched: dict[Metric, float] = dict.fromkeys(OF_THE_CATALOG, 1.0)
    sink.watch(OF_THE_CATALOG, lambda: watched)
    for name in commands():
        meter = Meter((sink,), name)
        for metric in (RUNNING, STARTED, ENDED, SUCCEEDED, EXIT_CODE):
            meter.set(metric, 1, name)
        for fate in {*Made, *Uploaded}:
            meter.item(fate, size=1, seconds=1)
    for code in Code:
        sink.set(FINDINGS, 1, (code.value,))
    for status in (200, 503):
        sink.add(REQUESTS, 1, ("GET", "/images", str(status)))
        sink.observe(REQUEST_SECONDS, 0.1, ("GET", "/images"))
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(sink.text().decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def selected(expression: str) -> Iterator[tuple[VectorSelector, set[str]]]:
    """The selectors of an expression, each with the labels that it is aggregated by."""
    nodes: list[Expr] = []
    # Variables that Grafana replaces.
    promql_parser.walk(promql_parser.parse(expression.replace("$__rate_interval", "5m")), nodes.append)
    by = {
        label for node in nodes if isinstance(node, AggregateExpr) and node.modifier for label in node.modifier.labels
    }
    yield from ((node, by) for node in nodes if isinstance(node, VectorSelector))


def faults(expression: str, served: dict[str, dict[str, set[str]]]) -> list[str]:
    wrong: list[str] = []
    for selector, by in selected(expression):
        name = str(selector.name)
        if name not in served:
            wrong.append(name)
            continue
        wrong += [f"{name} by {label}" for label in by - served[name].keys()]
        for matcher in selector.matchers.matchers:
            values = served[name].get(matcher.name, set())
            wanted = matcher.value.split("|") if matcher.op == MatchOp.Re else [matcher.value]
            wrong += [f"{name}: {one}" for one in wanted if not any(re.fullmatch(one, value) for value in values)]
    return wrong


@pytest.mark.parametrize("rule", ALERTS)
def test_alert_queries_only_served_series(rule: dict[str, object], served: dict[str, dict[str, set[str]]]) -> None:
    assert faults(str(rule["expr"]), served) == []
    assert (
        {"alert", "expr", "labels", "annotations"} <= rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    )
    assert f"`{rule['alert']}`" in PAGE
    promql_parser.parse_duration(str(rule.get("for", "1m")))


def test_an_audit_that_fails_is_alerted_on_like_other_commands() -> None:
    [rule] = [rule for group in RULES["groups"] for rule in group["rules"] if rule["alert"] == "ImgctlCommandFailed"]
    codes = [one.matchers.matchers for one, _ in selected(rule["expr"]) if one.name == EXIT_CODE.name]

    assert [[(one.name, one.value) for one in matchers] for matchers in codes] == [[], [("command", "audit")]]
    assert 'imgctl_command_exit_code{command="audit"} == 4' in rule["expr"]


@pytest.mark.parametrize("panel", PANELS)
def test_panel_queries_only_served_series(
    panel: dict[str, list[dict[str, str]]], served: dict[str, dict[str, set[str]]]
) -> None:
    assert panel["targets"]
    assert [fault for target in panel["targets"] for fault in faults(target["expr"], served)] == []
    legends = {name for target in panel["targets"] for name in re.findall(r"{{(\w+)}}", target["legendFormat"])}
    assert legends == {
        label for target in panel["targets"] for _, by in selected(target["expr"]) for label in by - {"le"}
    }


def test_every_metric_is_shown_or_alerted_on(served: dict[str, dict[str, set[str]]]) -> None:
    expressions = [to["expr"] for panel in DASHBOARD["panels"] for to in panel["targets"]]
    expressions += [str(rule["expr"]) for group in RULES["groups"] for rule in group["rules"]]
    used = {str(one.name).removesuffix("_bucket") for expression in expressions for one, _ in selected(expression)}

    assert {metric.name for metric in ALL} - used == NOT_SHOWN


def test_panels_do_not_overlap_and_have_grafanas_required_fields() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells

    assert DASHBOARD.keys() >= {"title", "uid", "schemaVersion", "panels", "time", "templating"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_series_that_is_not_served_is_found(served: dict[str, dict[str, set[str]]]) -> None:
    assert faults('sum by (color) (rate(imgctl_items_total{fate="gone"}[5m])) + imgctl_nothing', served) == [
        "imgctl_items_total by color",
        "imgctl_items_total: gone",
        "imgctl_nothing",
    ]
