"""The operator's settings, logs, metrics and probes."""

from __future__ import annotations

import json
import logging

import pytest
from prometheus_client import generate_latest

from claude_mem.logs import JsonFormatter, TextFormatter
from claude_mem_operator.config import Config, ConfigInvalid, WebhookMode, settings
from claude_mem_operator.health import STALE_S, STUCK_S, Health, WatchLedger
from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER, DEPLOYMENT, HTTP_ROUTE, SECRET
from claude_mem_operator.kube.port import Kind, Manifest
from claude_mem_operator.logs import defect, fields_of
from claude_mem_operator.main import main
from claude_mem_operator.metrics import Metrics
from claude_mem_operator.watched import LABEL


def test_nothing_set_is_a_working_operator_for_all_namespaces() -> None:
    config = Config.read({})
    assert config.namespaces == ()
    assert config.webhook is WebhookMode.OWN
    assert config.identity


def test_every_setting_is_read_from_its_variable() -> None:
    values = {
        "NAMESPACES": "a, b,a",
        "WORKLOAD_ENV": '{"HTTPS_PROXY": "http://proxy"}',
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "TEXT",
        "WEBHOOK": "Provided",
    }
    numbers = {
        setting.name: "30" for setting in settings() if setting.expects.startswith(("seconds", "port"))
    }
    numbers["CONCURRENCY"] = "3"
    config = Config.read({f"CLAUDE_MEM_OPERATOR_{name}": value for name, value in (values | numbers).items()})
    assert config.namespaces == ("a", "b")
    assert config.workload_environment == {"HTTPS_PROXY": "http://proxy"}
    assert (config.log_level, config.log_format) == ("DEBUG", "text")
    assert config.webhook is WebhookMode.PROVIDED
    assert (config.lease_s, config.resync_s, config.concurrency, config.metrics_port) == (30, 30, 3, 30)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "17"),
        ("CONCURRENCY", "many"),
        ("NAMESPACES", "Not_A_Name"),
        ("WEBHOOK", "maybe"),
        ("WORKLOAD_ENV", "[1]"),
        ("WORKLOAD_ENV", "{"),
        ("LEASE_SECONDS", "0"),
        ("NO_SUCH_THING", "1"),
    ],
)
def test_what_means_nothing_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"CLAUDE_MEM_OPERATOR_{name}", value)
    assert main(["run"]) == 78
    assert f"CLAUDE_MEM_OPERATOR_{name}" in capsys.readouterr().err


def test_variables_that_kubernetes_adds_for_services_are_passed_over() -> None:
    Config.read(
        {
            "CLAUDE_MEM_OPERATOR_WEBHOOK_SERVICE_HOST": "10.0.0.1",
            "CLAUDE_MEM_OPERATOR_WEBHOOK_PORT_443_TCP": "tcp://10.0.0.1:443",
        }
    )


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigInvalid) as found:
        Config.read({"CLAUDE_MEM_OPERATOR_WEBHOOK": "maybe", "CLAUDE_MEM_OPERATOR_LOG_LEVEL": "loud"})
    assert "WEBHOOK" in str(found.value)
    assert "LOG_LEVEL" in str(found.value)


def test_a_log_line_is_one_json_object() -> None:
    of_kopf = {"settings": object(), "k8s_ref": {"name": "b"}, "k8s_skip": True}
    record = logging.makeLogRecord(
        {"name": "x", "levelname": "INFO", "msg": "two\nlines", "resource": "a/b", **of_kopf}
    )
    line = JsonFormatter(fields_of).format(record)
    assert "\n" not in line
    assert set(json.loads(line)) == {"time", "level", "logger", "message", "resource"}
    assert TextFormatter(fields_of).format(record).endswith("lines resource=a/b")


def test_a_defect_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    password = "".join(("hunter", "2"))
    try:
        int(password)
    except ValueError as error:
        defect(logging.getLogger("x"), error, doing="testing")
    assert "hunter2" not in caplog.text
    assert "ValueError" in caplog.text
    assert "test_operator_main_settings.py" in caplog.text


def test_metrics_tell_what_was_counted() -> None:
    metrics = Metrics()
    metrics.reconciled("ready", 0.2)
    metrics.called("apply", "secrets", "ok")
    metrics.reviewed("denied", 0.01)
    metrics.watch(
        leading=lambda: True,
        phases=lambda: {"Ready": 3},
        queue=lambda: {"waiting": 5, "running": 4},
        staleness=lambda: 1.5,
        oldest_run=lambda: 2.5,
    )
    text = generate_latest(metrics.registry).decode()
    for line in (
        'claude_mem_operator_reconcile_total{result="ready"} 1.0',
        'claude_mem_operator_api_requests_total{kind="secrets",outcome="ok",verb="apply"} 1.0',
        'claude_mem_operator_webhook_requests_total{result="denied"} 1.0',
        "claude_mem_operator_leader 1.0",
        'claude_mem_operator_resources{phase="Ready"} 3.0',
        'claude_mem_operator_reconcile_queue{state="waiting"} 5.0',
        'claude_mem_operator_reconcile_queue{state="running"} 4.0',
        "claude_mem_operator_watch_staleness_seconds 1.5",
        "claude_mem_operator_oldest_reconcile_seconds 2.5",
    ):
        assert line in text


def _object(uid: str, version: int, *, kind: Kind = SECRET) -> Manifest:
    metadata = {"uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def test_a_change_that_no_watch_tells_of_makes_the_process_unwell() -> None:
    now = 0.0
    ledger = WatchLedger(clock=lambda: now)
    ledger.follow([SECRET])
    health = Health(ledger=ledger, stuck_s=lambda: 0, heartbeat=lambda: now, clock=lambda: now)
    ledger.told(_object("a", 5), gone=False)
    ledger.read("owner", [_object("a", 5)])
    assert ledger.staleness() == 0
    ledger.read("owner", [_object("a", 6), _object("b", 1)])
    now = 100.0
    ledger.read("owner", [_object("a", 7)])
    assert ledger.staleness() == 100, "it has been behind since the first change"
    assert health.unwell() == []
    now = STALE_S + 1
    assert any("silent" in one for one in health.unwell())
    ledger.told(_object("a", 8), gone=False)
    assert health.unwell() == []
    ledger.read("owner", [_object("a", 9)])
    ledger.told(_object("a", 9), gone=True)
    assert ledger.staleness() == 0


def test_a_kind_that_came_to_the_cluster_after_the_operator_is_not_awaited() -> None:
    now = 0.0
    ledger = WatchLedger(clock=lambda: now)
    ledger.follow([SECRET])
    ledger.read("owner", [_object("a", 1, kind=HTTP_ROUTE)])
    now = STALE_S + 1
    assert ledger.staleness() == 0


def test_a_child_whose_label_was_taken_off_is_not_awaited() -> None:
    now = 0.0
    ledger = WatchLedger(clock=lambda: now)
    ledger.follow([CLAUDE_MEM_SERVER, DEPLOYMENT])
    child = _object("a", 5, kind=DEPLOYMENT)
    labelled = {**child, "metadata": {**child["metadata"], "labels": dict([LABEL])}}
    ledger.told(labelled, gone=False)
    # To a watch that asks for a label, an object without it is gone; the resource is paused, so nobody repairs it.
    for version, labels in ((6, {LABEL[0]: "somebody-else"}), (7, {}), (8, None)):
        relabelled = {**child, "metadata": {"uid": "a", "resourceVersion": str(version), "labels": labels}}
        ledger.told(relabelled, gone=True)
        ledger.read("owner", [_object("owner", 1, kind=CLAUDE_MEM_SERVER), relabelled])
        ledger.told(_object("owner", 1, kind=CLAUDE_MEM_SERVER), gone=False)
        now += STALE_S + 1
        ledger.read("owner", [relabelled])
        assert ledger.staleness() == 0
    ledger.read("owner", [labelled])
    now += 1
    assert ledger.staleness() == 0, "it was read before the watch told of its end"
    back = {**labelled, "metadata": {**labelled["metadata"], "resourceVersion": "9"}}
    ledger.told(back, gone=False)
    ledger.read("owner", [{**back, "metadata": {**back["metadata"], "resourceVersion": "10"}}])
    now += 1
    assert ledger.staleness() == 1, "a child with the label is awaited"


def test_a_stuck_run_and_an_unwatched_lease_make_it_unwell() -> None:
    health = Health(
        ledger=WatchLedger(), stuck_s=lambda: STUCK_S + 1, heartbeat=lambda: 0.0, clock=lambda: STUCK_S + 1
    )
    assert len(health.unwell()) == 2


def test_ready_means_everything_awaited_is_there_and_nothing_about_leading() -> None:
    health = Health(ledger=WatchLedger(), stuck_s=lambda: 0, heartbeat=lambda: 0.0, clock=lambda: 0.0)
    health.await_("certificate", "watches")
    assert len(health.unready()) == 2
    health.present("certificate")
    health.present("watches")
    assert health.unready() == []
