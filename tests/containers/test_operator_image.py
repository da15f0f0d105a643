"""The operator's image on its own: who it runs as, what is in it, and what is not."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.containers.stack import Result, engine, run_image
from tests.containers.test_image import ABSENT

IMAGE = "claude-mem-operator:local"
MOST_MB = 300


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    found = engine("image", "inspect", IMAGE, check=False)
    if found.code != 0:
        reason = f"{IMAGE} is not there: run 'make images'\n{found.stderr}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    inspected: list[dict[str, Any]] = json.loads(found.stdout)
    return inspected[0]


def run(*arguments: str, entrypoint: str | None = None) -> Result:
    """Run it as some user of the cluster's choice."""
    return run_image(*arguments, image=IMAGE, options=("--user", "4711"), entrypoint=entrypoint)


def test_it_runs_as_a_numeric_user_who_is_not_root(image: dict[str, Any]) -> None:
    assert image["Config"]["User"] == "10001:10001"


def test_it_is_small(image: dict[str, Any]) -> None:
    assert image["Size"] / 1e6 < MOST_MB


def test_it_says_what_it_is_and_runs_the_operator(image: dict[str, Any]) -> None:
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "claude-mem-operator"
    assert image["Config"]["Entrypoint"] == ["claude-mem-operator"]
    assert image["Config"]["Cmd"] == ["run"]


def test_it_says_what_is_missing_outside_a_cluster(image: dict[str, Any]) -> None:
    ended = run("run")
    assert ended.code == 1
    assert "no API server is configured" in ended.stdout + ended.stderr


def test_all_of_it_can_be_imported(image: dict[str, Any]) -> None:
    program = "import claude_mem_operator.main, claude_mem_operator.admission.judge, kubernetes.dynamic; print('ok')"
    assert run("-c", program, entrypoint="python").stdout.strip() == "ok"


def test_nothing_that_builds_or_installs_is_left(image: dict[str, Any]) -> None:
    program = f"import shutil; print([name for name in {ABSENT!r} if shutil.which(name)])"
    assert run("-c", program, entrypoint="python").stdout.strip() == "[]"
    for module in ("pip", "ensurepip", "hatchling", "kubernetes.aio"):
        assert run("-c", f"import {module}", entrypoint="python").code == 1, module
