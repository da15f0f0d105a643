"""What the operator's chart gives Prometheus and Grafana: alerts that fire when they should, each with its page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from claude_mem_operator.metrics import Metrics
from tests.support.promtool import Tried, check_alert, check_places, check_queries, run

ROOT = Path(__file__).parents[3]
FILES = ROOT / "charts" / "claude-mem-operator" / "files"
RUNBOOKS = ROOT / "docs" / "runbooks"
OURS = 'namespace="system",job="operator-metrics"'
THEIRS = 'namespace="other",job="operator-metrics"'
P = "claude_mem_operator_"

#: For each alert: after how many minutes, what its series are then and were before, and what the alert's labels are.
CASES: dict[str, tuple[int, dict[str, str], dict[str, str]]] = {
    "ClaudeMemOperatorAbsent": (6, {"up{$S}": "0x20"}, {}),
    "ClaudeMemOperatorNotLed": (
        4,
        {f'{P}leader{{$S,pod="a"}}': "0x20", f'{P}leader{{$S,pod="b"}}': "0x20"},
        {},
    ),
    "ClaudeMemOperatorReconcilesFailing": (
        22,
        {
            f'{P}reconcile_total{{$S,result="failed"}}': "0+10x40",
            f'{P}reconcile_total{{$S,result="error"}}': "0+5x40",
            f'{P}reconcile_total{{$S,result="ready"}}': "0+100x40",
        },
        {},
    ),
    "ClaudeMemOperatorForbidden": (
        10,
        {f'{P}api_requests_total{{$S,verb="apply",kind="secrets",outcome="Forbidden"}}': "0 0 0 1x20"},
        {"verb": "apply", "kind": "secrets"},
    ),
    "ClaudeMemOperatorStuck": (4, {f"{P}oldest_reconcile_seconds{{$S}}": "0 121+60x20"}, {}),
    "ClaudeMemOperatorBehind": (12, {f'{P}reconcile_queue{{$S,state="waiting"}}': "3x20"}, {}),
    "ClaudeMemOperatorResourcesUnwell": (
        16,
        {f'{P}resources{{$S,phase="Degraded"}}': "1x20", f'{P}resources{{$S,phase="Ready"}}': "9x20"},
        {"phase": "Degraded"},
    ),
    "ClaudeMemOperatorWebhookFailing": (
        12,
        {
            f'{P}webhook_requests_total{{$S,result="timeout"}}': "0+6x20",
            f'{P}webhook_requests_total{{$S,result="allowed"}}': "0+100x20",
        },
        {},
    ),
    "ClaudeMemOperatorWebhookSlow": (
        22,
        {
            f'{P}webhook_seconds_bucket{{$S,le="1.0"}}': "0+98x40",
            f'{P}webhook_seconds_bucket{{$S,le="2.5"}}': "0+100x40",
            f'{P}webhook_seconds_bucket{{$S,le="+Inf"}}': "0+100x40",
        },
        {},
    ),
    "ClaudeMemOperatorCertificateExpires": (
        20,
        {f"{P}certificate_expiry_timestamp_seconds{{$S}}": f"{14 * 86400}x40"},
        {},
    ),
}

#: The same, just short of what the alert is about.
WELL: dict[str, dict[str, str]] = {
    "ClaudeMemOperatorAbsent": {'up{$S,pod="a"}': "0x60", 'up{$S,pod="b"}': "1x60"},
    "ClaudeMemOperatorNotLed": {
        f'{P}leader{{$S,pod="a"}}': "0x60",
        f'{P}leader{{$S,pod="b"}}': "1x60",
    },
    "ClaudeMemOperatorReconcilesFailing": {
        f'{P}reconcile_total{{$S,result="failed"}}': "0+5x60",
        f'{P}reconcile_total{{$S,result="problem"}}': "0+50x60",
        f'{P}reconcile_total{{$S,result="ready"}}': "0+45x60",
    },
    "ClaudeMemOperatorForbidden": {
        # It was refused once, half an hour ago.
        f'{P}api_requests_total{{$S,verb="apply",kind="secrets",outcome="Forbidden"}}': "0 1x60",
        f'{P}api_requests_total{{$S,verb="get",kind="secrets",outcome="NotFound"}}': "0+9x60",
    },
    "ClaudeMemOperatorStuck": {
        f"{P}oldest_reconcile_seconds{{$S}}": "119x60",
        f"{P}watch_staleness_seconds{{$S}}": "59x60",
    },
    "ClaudeMemOperatorBehind": {
        f'{P}reconcile_queue{{$S,state="waiting"}}': "9 9 9 0 9 9 9 0 9 9 9 0" + " 9 9 9 0" * 12
    },
    "ClaudeMemOperatorResourcesUnwell": {
        f'{P}resources{{$S,phase="Progressing"}}': "3x60",
        f'{P}resources{{$S,phase="Paused"}}': "3x60",
    },
    "ClaudeMemOperatorWebhookFailing": {
        f'{P}webhook_requests_total{{$S,result="timeout"}}': "0+4x60",
        f'{P}webhook_requests_total{{$S,result="denied"}}': "0+100x60",
    },
    "ClaudeMemOperatorWebhookSlow": {
        f'{P}webhook_seconds_bucket{{$S,le="1.0"}}': "0+995x60",
        f'{P}webhook_seconds_bucket{{$S,le="2.5"}}': "0+1000x60",
        f'{P}webhook_seconds_bucket{{$S,le="+Inf"}}': "0+1000x60",
    },
    "ClaudeMemOperatorCertificateExpires": {
        f'{P}certificate_expiry_timestamp_seconds{{$S,pod="a"}}': f"{15 * 86400}x60",
        # One that has none yet.
        f'{P}certificate_expiry_timestamp_seconds{{$S,pod="b"}}': "0x60",
    },
}


def filled(name: str) -> str:
    text = (FILES / name).read_text(encoding="utf-8")
    return text.replace("__NAMESPACE__", "system").replace("__JOB__", "operator-metrics")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(filled("alerts.yaml"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(filled("dashboard.json"))
    return found


def scoped(series: dict[str, str], scope: str) -> dict[str, str]:
    """The series of one installation."""
    return {name.replace("$S", scope): values for name, values in series.items()}


def test_every_alert_is_tried() -> None:
    assert {rule["alert"] for rule in rules()} == set(CASES) == set(WELL)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_for_its_installation_when_it_should(tmp_path: Path, alert: str) -> None:
    minutes, series, labels = CASES[alert]
    (rule,) = (rule for rule in rules() if rule["alert"] == alert)
    tried = [
        Tried(at=minutes, series=scoped(series, OURS), fires=True),
        Tried(at=0, series=scoped(series, OURS), fires=False),
        Tried(at=50, series=scoped(WELL[alert], OURS), fires=False),
        Tried(at=minutes, series=scoped(series, THEIRS) | {f"up{{{OURS}}}": "1x60"}, fires=False),
    ]
    check_alert(tmp_path, rule, tried, labels=labels)


def test_a_silent_watch_is_told_before_the_process_is_started_anew(tmp_path: Path) -> None:
    (rule,) = (rule for rule in rules() if rule["alert"] == "ClaudeMemOperatorStuck")
    silent = scoped({f"{P}watch_staleness_seconds{{$S}}": "0 0+60x10"}, OURS)
    check_alert(tmp_path, rule, [Tried(at=4, series=silent, fires=True)], labels={})


def test_prometheus_understands_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(filled("alerts.yaml"))
    assert f"{len(CASES)} rules found" in run("check", "rules", tmp_path / "alerts.yaml")
    check_queries(tmp_path, dashboard())


def test_rules_and_dashboard_ask_for_what_there_is() -> None:
    metrics = Metrics()
    metrics.watch(
        leading=lambda: True, phases=dict, queue=dict, staleness=lambda: 0.0, oldest_run=lambda: 0.0
    )
    told = {
        sample + suffix
        for family in metrics.registry.collect()
        for sample, suffix in [
            (family.name, {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")),
        ]
    }
    text = filled("alerts.yaml") + filled("dashboard.json").replace('\\"', '"')
    asked = re.findall(r"(claude_mem_operator_\w+|up)\{(.*?)\}", text)
    assert {name for name, _ in asked} - {"up"} <= told
    for _, matchers in asked:
        assert {"namespace", "job"} <= set(re.findall(r"(\w+)[!=]", matchers))


def test_each_alert_has_a_runbook_and_is_listed() -> None:
    how_to = (ROOT / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")
    named = set()
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        page = ROOT / rule["annotations"]["runbook"]
        assert f"`{rule['alert']}`" in page.read_text(encoding="utf-8")
        (row,) = (line for line in how_to.splitlines() if line.startswith(f"| `{rule['alert']}` |"))
        assert f"| {rule['labels']['severity']} |" in row
        assert page.name in row
        named.add(page)
    assert named == set(RUNBOOKS.glob("operator-*.md"))


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    check_places(dashboard()["panels"])
    for panel in dashboard()["panels"]:
        assert panel["description"]
