"""Each alert fires when it should, for the resource that it is about, and not before: Prometheus' own test of rules."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from claude_mem.telemetry.declaring import Where
from claude_mem.telemetry.figures import Merged, dump
from claude_mem.telemetry.metrics import DECLARED
from tests.support.promtool import Tried, check_alert, check_queries, run

FILES = resources.files("claude_mem_operator.desired.monitoring")
RULES = (FILES / "alerts.yaml").read_text()
DASHBOARD = (FILES / "dashboard-claude-mem.json").read_text()
OURS = 'namespace="prod",name="memory"'
THEIRS = 'namespace="test",name="memory"'

#: For each alert: after how many minutes, what its series are then and were before, and what the alert's labels are.
CASES: dict[str, tuple[int, dict[str, str], dict[str, str]]] = {
    "ClaudeMemServerAbsent": (6, {"up{$S}": "0x20"}, {}),
    "ClaudeMemDatabaseDown": (
        3,
        {
            'claude_mem_database_up{$S,instance="a"}': "0x20",
            'claude_mem_database_up{$S,instance="b"}': "0x20",
        },
        {},
    ),
    "ClaudeMemWorkersAbsent": (
        6,
        {"claude_mem_workers{$S}": "0x20", 'claude_mem_queue_depth{$S,lane="event"}': "3x20"},
        {},
    ),
    "ClaudeMemQueueOld": (
        6,
        {'claude_mem_queue_oldest_age_seconds{$S,lane="event"}': "301x20"},
        {"lane": "event"},
    ),
    "ClaudeMemRequestsFailing": (
        12,
        {
            'claude_mem_http_requests_total{$S,route="/v1/events",status="503"}': "0+6x20",
            'claude_mem_http_requests_total{$S,route="/v1/events",status="201"}': "0+100x20",
            'claude_mem_http_requests_total{$S,route="/healthz",status="200"}': "0+1000x20",
        },
        {},
    ),
    "ClaudeMemSearchSlow": (
        20,
        {
            'claude_mem_search_seconds_bucket{$S,mode="search",le="0.5"}': "0+94x40",
            'claude_mem_search_seconds_bucket{$S,mode="search",le="1"}': "0+100x40",
            'claude_mem_search_seconds_bucket{$S,mode="search",le="+Inf"}': "0+100x40",
        },
        {},
    ),
    "ClaudeMemPoolExhausted": (
        12,
        {
            'claude_mem_database_pool_wait_seconds_bucket{$S,le="0.5"}': "0+90x40",
            'claude_mem_database_pool_wait_seconds_bucket{$S,le="1"}': "0+100x40",
            'claude_mem_database_pool_wait_seconds_bucket{$S,le="+Inf"}': "0+100x40",
        },
        {},
    ),
    "ClaudeMemTransportDown": (
        22,
        {
            'claude_mem_queue_published_jobs_total{$S,lane="event",outcome="queued_only"}': "0+6x40",
            'claude_mem_queue_published_jobs_total{$S,lane="event",outcome="enqueued"}': "0+5x40",
        },
        {},
    ),
    "ClaudeMemJobsFailing": (
        30,
        {
            # Two servers tell of the same worker: that counts once.
            'claude_mem_jobs_settled_total{$S,lane="event",outcome="failed",worker="w",instance="a"}': "0+0.4x40",
            'claude_mem_jobs_settled_total{$S,lane="event",outcome="failed",worker="w",instance="b"}': "0+0.4x40",
        },
        {"lane": "event"},
    ),
    "ClaudeMemProviderFailing": (
        22,
        {
            'claude_mem_provider_calls_total{$S,provider="claude",model="m",worker="w",outcome="transient"}': "0+6x40",
            'claude_mem_provider_calls_total{$S,provider="claude",model="m",worker="w",outcome="ok"}': "0+5x40",
        },
        {"provider": "claude", "model": "m"},
    ),
    "ClaudeMemProviderLeftAlone": (
        6,
        {'claude_mem_provider_circuit_open{$S,provider="claude",model="m",worker="w"}': "1x20"},
        {"provider": "claude", "model": "m"},
    ),
    "ClaudeMemBudgetSpent": (
        10,
        {
            'claude_mem_job_failures_total{$S,lane="event",classification="budget_exhausted",worker="w"}': "0+1x20"
        },
        {},
    ),
}

#: The same, just short of what the alert is about.
WELL: dict[str, dict[str, str]] = {
    "ClaudeMemServerAbsent": {'up{$S,instance="a"}': "0x60", 'up{$S,instance="b"}': "1x60"},
    "ClaudeMemDatabaseDown": {
        'claude_mem_database_up{$S,instance="a"}': "0x60",
        'claude_mem_database_up{$S,instance="b"}': "1x60",
    },
    "ClaudeMemWorkersAbsent": {
        "claude_mem_workers{$S}": "0x60",
        'claude_mem_queue_depth{$S,lane="event"}': "0x60",
    },
    "ClaudeMemQueueOld": {'claude_mem_queue_oldest_age_seconds{$S,lane="event"}': "300x60"},
    "ClaudeMemRequestsFailing": {
        'claude_mem_http_requests_total{$S,route="/v1/events",status="503"}': "0+4x60",
        'claude_mem_http_requests_total{$S,route="/v1/events",status="201"}': "0+96x60",
    },
    "ClaudeMemSearchSlow": {
        'claude_mem_search_seconds_bucket{$S,mode="search",le="0.5"}': "0+96x60",
        'claude_mem_search_seconds_bucket{$S,mode="search",le="1"}': "0+100x60",
        'claude_mem_search_seconds_bucket{$S,mode="search",le="+Inf"}': "0+100x60",
    },
    "ClaudeMemPoolExhausted": {
        # A worker that waits is another matter: nobody waits for it.
        'claude_mem_database_pool_wait_seconds_bucket{$S,worker="w",le="0.5"}': "0+10x60",
        'claude_mem_database_pool_wait_seconds_bucket{$S,worker="w",le="+Inf"}': "0+100x60",
    },
    "ClaudeMemTransportDown": {
        'claude_mem_queue_published_jobs_total{$S,lane="event",outcome="queued_only"}': "0+4x60",
        'claude_mem_queue_published_jobs_total{$S,lane="event",outcome="enqueued"}': "0+5x60",
    },
    "ClaudeMemJobsFailing": {
        'claude_mem_jobs_settled_total{$S,lane="event",outcome="failed",worker="w",instance="a"}': "0+0.2x60",
        'claude_mem_jobs_settled_total{$S,lane="event",outcome="failed",worker="w",instance="b"}': "0+0.2x60",
        'claude_mem_jobs_settled_total{$S,lane="event",outcome="retried",worker="w"}': "0+9x60",
    },
    "ClaudeMemProviderFailing": {
        'claude_mem_provider_calls_total{$S,provider="claude",model="m",worker="w",outcome="transient"}': "0+4x60",
        'claude_mem_provider_calls_total{$S,provider="claude",model="m",worker="w",outcome="ok"}': "0+5x60",
    },
    "ClaudeMemProviderLeftAlone": {
        'claude_mem_provider_circuit_open{$S,provider="claude",model="m",worker="w"}': "0x60"
    },
    "ClaudeMemBudgetSpent": {
        'claude_mem_job_failures_total{$S,lane="event",classification="transient",worker="w"}': "0+1x60"
    },
}


def rules_of_the_resource() -> dict[str, Any]:
    text = RULES.replace("__NAMESPACE__", "prod").replace("__NAME__", "memory")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_every_alert_is_tried() -> None:
    alerts = {rule["alert"] for rule in rules_of_the_resource()["groups"][0]["rules"]}
    assert alerts == set(CASES) == set(WELL)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_for_its_resource_when_it_should(tmp_path: Path, alert: str) -> None:
    minutes, series, labels = CASES[alert]
    (rule,) = (rule for rule in rules_of_the_resource()["groups"][0]["rules"] if rule["alert"] == alert)
    elsewhere = {f"up{{{OURS}}}": "1x60"}
    tried = [
        Tried(at=minutes, series=scoped(series, OURS), fires=True),
        Tried(at=0, series=scoped(series, OURS), fires=False),
        Tried(at=50, series=scoped(WELL[alert], OURS), fires=False),
        Tried(at=minutes, series=scoped(series, THEIRS) | elsewhere, fires=False),
    ]
    check_alert(tmp_path, rule, tried, labels=labels)


def scoped(series: dict[str, str], scope: str) -> dict[str, str]:
    """The series of one resource."""
    return {name.replace("$S", scope): values for name, values in series.items()}


def test_all_rules_are_well_formed_with_their_texts(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules_of_the_resource()))
    assert f"{len(CASES)} rules found" in run("check", "rules", tmp_path / "rules.yaml")


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    text = DASHBOARD.replace("__NAMESPACE__", "prod").replace("__NAME__", "memory")
    check_queries(tmp_path, json.loads(text))


def test_prometheus_finds_no_fault_with_what_a_process_tells() -> None:
    asked = [
        declared.family({("x",) * len(declared.labels): 1.0})
        for declared in DECLARED.values()
        if declared.where is Where.DATABASE
    ]
    run("check", "metrics", told=generate_latest(Merged({"w-1": dump()}, asked)).decode())
