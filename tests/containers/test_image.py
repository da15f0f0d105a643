"""The runtime image on its own: who it runs as, what is in it, and what is not."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.containers.stack import IMAGE, engine, run_image

#: The base is 132 of them, and numpy, with which searches are ranked, 55.
MOST_MB = 380
ABSENT = ("pip", "pip3", "gcc", "cc", "g++", "make", "curl", "wget", "git")
_NO_DEVELOPMENT = ("CLAUDE_MEM_QUEUE_ENGINE=dramatiq", "CLAUDE_MEM_REDIS_URL=redis://valkey:6379/0")
_DATABASE = "CLAUDE_MEM_SERVER_DATABASE_URL=postgresql://u:p@postgres:5432/d"


@pytest.fixture(scope="module")
def image(built: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(engine("image", "inspect", built).stdout)
    return found[0]


def health_check(image: dict[str, Any]) -> list[str]:
    """The image's own check, which Podman shows beside the configuration and Docker in it."""
    check: dict[str, Any] = image.get("Healthcheck") or image["Config"]["Healthcheck"]
    return list(check["Test"])


def test_it_runs_as_a_numeric_user_who_is_not_root(image: dict[str, Any]) -> None:
    user, _, group = image["Config"]["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_it_is_small(image: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    size = image["Size"] / 1e6
    with capsys.disabled():
        sys.stdout.write(f"\n{IMAGE}: {size:.0f} MB in {len(image['RootFS']['Layers'])} layers\n")
    assert size < MOST_MB


def test_it_has_a_health_check_by_command_and_starts_the_server(image: dict[str, Any]) -> None:
    assert health_check(image)[0] == "CMD"
    assert image["Config"]["Entrypoint"] == ["claude-mem"]
    assert image["Config"]["Cmd"] == ["server", "--daemon"]


def test_its_health_check_fails_where_no_server_answers(image: dict[str, Any]) -> None:
    _, program, *arguments = health_check(image)
    assert run_image(*arguments, entrypoint=program).code != 0


def test_it_says_what_it_is(image: dict[str, Any]) -> None:
    labels = image["Config"]["Labels"]
    named = {name: labels[f"org.opencontainers.image.{name}"] for name in ("title", "licenses", "version")}
    assert named == {"title": "claude-mem", "licenses": "Apache-2.0", "version": "0.1.0"}


def test_its_settings_are_a_servers(image: dict[str, Any]) -> None:
    settings = dict(variable.split("=", 1) for variable in image["Config"]["Env"])
    assert settings["CLAUDE_MEM_RUNTIME"] == "server"
    assert settings["CLAUDE_MEM_SERVER_HOST"] == "0.0.0.0"
    assert settings["CLAUDE_MEM_SERVER_PORT"] == "37877"
    assert settings["CLAUDE_MEM_GENERATION_DISABLED"] == "true"


def test_nothing_that_builds_or_installs_is_left(built: str) -> None:
    program = f"import shutil; print([name for name in {ABSENT!r} if shutil.which(name)])"
    assert run_image("-c", program, entrypoint="python").stdout.strip() == "[]"
    for module in ("pip", "ensurepip", "hatchling"):
        assert run_image("-c", f"import {module}", entrypoint="python").code == 1, module
    found = run_image("-xdev", "/", "-name", "pip-*.whl", entrypoint="find").stdout
    assert not found


def test_it_knows_that_it_is_a_container_whatever_the_environment_says(built: str) -> None:
    options = ("--env", "CLAUDE_MEM_DOCKER=0", "--env", "container=")
    judged = json.loads(run_image("server", "check-env", "--json", options=options).stdout)
    assert judged["container"] is True


@pytest.mark.parametrize("user", ["10001:10001", "123456:0"])
def test_any_user_can_run_it_on_a_read_only_file_system(built: str, user: str) -> None:
    variables = [part for each in (*_NO_DEVELOPMENT, _DATABASE) for part in ("--env", each)]
    options = ("--user", user, "--tmpfs", "/var/lib/claude-mem", *variables)
    checked = run_image("server", "check-env", options=options)
    assert checked.code == 0, checked.stdout + checked.stderr
    looked = run_image("server", "doctor", "--json", options=options)
    found = {each["name"]: each["status"] for each in json.loads(looked.stdout)["checks"]}
    assert found["data directory"] == "ok"


def test_an_unreachable_database_ends_the_server_by_itself(built: str) -> None:
    """After the pool's patience, which is five seconds; how long Python takes to begin is the machine's."""
    unreachable = "CLAUDE_MEM_SERVER_DATABASE_URL=postgresql://u:p@127.0.0.1:9/d"
    variables = [part for each in (*_NO_DEVELOPMENT, unreachable) for part in ("--env", each)]
    program = ("timeout", "200", "claude-mem", "server", "--daemon")
    ended = run_image(*program[1:], options=tuple(variables), entrypoint=program[0])
    assert ended.code not in (0, 124)
    assert "PostgreSQL" in ended.stderr
