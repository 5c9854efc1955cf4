"""The alert rules and the dashboard: each expression parses and asks for series, labels and values that imgctl serves."""

import json
import re
import urllib.request
from collections.abc import Iterator

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, Expr, MatchOp, VectorSelector

from imgctl.config.settings import StoreSettings
from imgctl.ops.parts import open_parts
from imgctl.ops.work.order import Fate
from imgctl.store.catalog.upgrade import upgrade
from imgctl.web.metrics import Metrics, WorkMetrics
from tests.web.server import settings_for
from tools.docs import ROOT

PAGE = (ROOT / "docs/operations/monitoring.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/imgctl.json").read_text(encoding="utf-8"))
# What the script of the page writes for the textfile collector.
WRITTEN = re.findall(r'^  .*"(imgctl_\w+) ', PAGE, re.MULTILINE)
PANELS = [pytest.param(one, id=one["title"]) for one in DASHBOARD["panels"]]
ALERTS = [pytest.param(rule, id=rule["alert"]) for group in RULES["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """The series that imgctl serves and the audit's script writes: their names, each with its labels and their values."""
    place = tmp_path_factory.mktemp("metrics")
    settings = settings_for(f"sqlite:///{place}/catalog.db", StoreSettings(url=f"file://{place}/blobs"))
    found: dict[str, dict[str, set[str]]] = {name: {} for name in WRITTEN}
    with open_parts(settings) as parts:
        upgrade(parts.catalog)
        metrics, work = Metrics(parts.catalog), WorkMetrics(parts.catalog, host="127.0.0.1", port=0)
        metrics.answered("GET", "/images", 200, 0.1)
        metrics.answered("GET", "/images", 503, 0.1)
        for fate in Fate:
            work.ended(fate, 0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{work.port}/metrics") as answer:
            text = metrics.text() + answer.read()
        work.close()
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def selected(expression: str) -> Iterator[tuple[VectorSelector, set[str]]]:
    """The selectors of an expression, each with the labels that it is aggregated by."""
    nodes: list[Expr] = []
    # What Grafana puts in.
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
def test_alert_asks_for_what_is_served(rule: dict[str, object], served: dict[str, dict[str, set[str]]]) -> None:
    assert faults(str(rule["expr"]), served) == []
    assert (
        {"alert", "expr", "labels", "annotations"} <= rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    )
    assert f"`{rule['alert']}`" in PAGE
    promql_parser.parse_duration(str(rule.get("for", "1m")))


@pytest.mark.parametrize("panel", PANELS)
def test_panel_asks_for_what_is_served(
    panel: dict[str, list[dict[str, str]]], served: dict[str, dict[str, set[str]]]
) -> None:
    assert panel["targets"]
    assert [fault for target in panel["targets"] for fault in faults(target["expr"], served)] == []
    legends = {name for target in panel["targets"] for name in re.findall(r"{{(\w+)}}", target["legendFormat"])}
    assert legends == {
        label for target in panel["targets"] for _, by in selected(target["expr"]) for label in by - {"le"}
    }


def test_every_metric_of_the_page_is_served_and_shown(served: dict[str, dict[str, set[str]]]) -> None:
    listed = set(re.findall(r"^\| `(imgctl_\w+)", PAGE, re.MULTILINE))
    bases = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in served if not name.endswith("_created")}
    shown = {
        str(one.name) for panel in DASHBOARD["panels"] for to in panel["targets"] for one, _ in selected(to["expr"])
    }

    assert listed == bases - set(WRITTEN)
    assert listed <= {name.removesuffix("_bucket") for name in shown}


def test_panels_lie_beside_one_another_and_have_what_grafana_wants() -> None:
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
    assert faults('sum by (color) (rate(imgctl_work_images_total{fate="gone"}[5m])) + imgctl_nothing', served) == [
        "imgctl_work_images_total by color",
        "imgctl_work_images_total: gone",
        "imgctl_nothing",
    ]
