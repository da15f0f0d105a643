"""S9: `down --volumes` leaves nothing behind."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.containers.stack import Stack, engine
from tests.support.processes import wait_until


@pytest.mark.usefixtures("built")
def test_s9_nothing_is_left_after_the_stack_is_taken_down(tmp_path: Path) -> None:
    stack = Stack(tmp_path, project=f"claude-mem-teardown-{secrets.token_hex(3)}")

    def left() -> str:
        volumes = engine("volume", "ls", "--quiet").stdout
        networks = engine("network", "ls", "--format", "{{.Name}}").stdout
        names = engine("ps", "--all", "--format", "{{.Names}}").stdout
        return "\n".join(line for line in (volumes + networks + names).split() if stack.project in line)

    try:
        stack.compose("up", "-d", "valkey", "postgres")
        assert left()
        # A first start that is cut short is not what this is about.
        ready = ("pg_isready", "--host=127.0.0.1")
        wait_until(lambda: stack.exec("postgres", *ready, check=False).code == 0, what="PostgreSQL")
    finally:
        stack.down()
    assert not left()
