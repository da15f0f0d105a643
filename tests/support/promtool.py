"""Prometheus' own test of rules: promtool, as the tests of alerts and dashboards call it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.tiers import cannot_run


def check_places(panels: Sequence[Mapping[str, Any]]) -> None:
    """A dashboard's panels lie within its 24 columns, and none on another."""
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert cells.isdisjoint(taken), panel["title"]
        taken |= cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Series as promtool writes them, one value a minute, and whether an alert fires so many minutes in."""

    at: int
    series: Mapping[str, str]
    fires: bool


def check_alert(
    directory: Path, rule: Mapping[str, Any], tried: Sequence[Tried], *, labels: Mapping[str, str]
) -> None:
    """The alert of a rule fires when it should and not else; with these labels beside those of its rule."""
    # Without its texts, which promtool would compare word by word.
    bare = {name: value for name, value in rule.items() if name != "annotations"}
    expected = [{"exp_labels": {**labels, **rule["labels"]}}]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.at}m",
                        "alertname": rule["alert"],
                        "exp_alerts": expected if case.fires else [],
                    }
                ],
            }
            for case in tried
        ],
    }
    groups = {"groups": [{"name": "one", "rules": [bare]}]}
    (directory / "rules.yaml").write_text(yaml.safe_dump(groups))
    (directory / "tests.yaml").write_text(yaml.safe_dump(document))
    run("test", "rules", directory / "tests.yaml")


def check_queries(directory: Path, dashboard: Mapping[str, Any]) -> None:
    """Prometheus understands every query of a Grafana dashboard."""
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries)
    ]
    (directory / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    run("check", "rules", directory / "rules.yaml")


def run(*arguments: str | Path, told: str | None = None) -> str:
    """What promtool says; it has to find no fault."""
    program = shutil.which("promtool")
    if program is None:
        cannot_run("promtool is not installed: apt-get install prometheus")
    found = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=300, check=False, input=told
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout
