"""Metrics are documented, and what rules and dashboard ask for exists, with the labels that they ask by."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from claude_mem.telemetry import metrics
from claude_mem.telemetry.declaring import DECLARED, REGISTRY, Where, counter
from hack.generate_metrics_reference import TARGET, reference
from tests.support.promtool import check_places

ROOT = Path(__file__).parents[3]
FILES = resources.files("claude_mem_operator.desired.monitoring")
RULES: list[dict[str, Any]] = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard-claude-mem.json").read_text())
HOW_TO = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()

#: Labels that Prometheus, the ServiceMonitor or the merging of workers' figures add.
ADDED = {"namespace", "name", "instance", "worker", "le"}

EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    },
}


def test_the_reference_is_what_the_code_says() -> None:
    assert TARGET.read_text() == reference(), "run python hack/generate_metrics_reference.py"


def test_every_metric_is_named_as_prometheus_asks() -> None:
    for declared in DECLARED.values():
        assert re.fullmatch(r"claude_mem(_[a-z]+)+", declared.name)
        assert (declared.kind == "counter") == declared.name.endswith("_total")
        assert declared.meaning.endswith(".")
    assert {family.name for family in REGISTRY.collect() if family.name.startswith("claude_mem")} == {
        declared.name.removesuffix("_total")
        for declared in DECLARED.values()
        if declared.where is not Where.DATABASE
    }


def test_no_label_may_tell_of_a_team() -> None:
    used = {label for declared in DECLARED.values() for label in declared.labels}
    assert used == {
        *("route", "method", "status", "lane", "state", "outcome", "classification", "group", "mode"),
        *("provider", "model", "kind", "version"),
    }
    assert used.isdisjoint(ADDED)


def test_a_metric_is_declared_once() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        counter("claude_mem_http_requests_total", "Again.", where=Where.SERVER)
    assert metrics.REQUESTS is not None


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_rules_and_dashboard_ask_for_what_there_is(name: str) -> None:
    found = re.findall(r"(claude_mem_\w+|process_\w+|up)\{(.*?)\}", EXPRESSIONS[name])
    assert found
    known = set(ADDED)
    for metric, matchers in found:
        labels = set(re.findall(r"(\w+)[!=]", matchers))
        assert {"namespace", "name"} <= labels
        if metric.startswith("claude_mem"):
            base = re.sub(r"_(bucket|sum|count)$", "", metric)
            declared = DECLARED[base]
            assert (declared.kind == "histogram") == (base != metric)
            assert labels <= {*declared.labels, *ADDED}
            known |= set(declared.labels)
    grouped = re.findall(r"by \((.*?)\)", EXPRESSIONS[name])
    assert {label for part in grouped for label in part.split(", ")} <= known


def test_each_alert_has_a_runbook_and_is_listed() -> None:
    every = (ROOT / "docs" / "runbooks").glob("*.md")
    # Those of the operator's own alerts are the chart's.
    pages = {path.name: path.read_text() for path in every if not path.name.startswith("operator-")}
    named = {}
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        page = rule["annotations"]["runbook"].removeprefix("docs/runbooks/")
        assert f"`{rule['alert']}`" in pages[page]
        row = next(line for line in HOW_TO.splitlines() if line.startswith(f"| `{rule['alert']}` |"))
        assert f"| {rule['labels']['severity']} |" in row
        assert page in row
        named[page] = rule["alert"]
    assert set(named) == set(pages)


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    check_places(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        assert panel["type"] == "row" or panel["description"]
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
