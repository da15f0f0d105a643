"""How the compose file runs its containers, looked at in the running ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.containers.stack import SERVICES, Stack, engine
from tests.support.checklist import SERVER, WORKER
from tests.support.processes import wait_until

READ_ONLY = "touch /usr/written 2>/dev/null && exit 1; touch /tmp/written"


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_no_rights_that_it_does_not_need(stack: Stack, service: str) -> None:
    status = stack.exec(service, "cat", "/proc/1/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 0
    assert int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert "0" not in fields["Uid"].split()


@pytest.mark.parametrize("service", [SERVER, WORKER, "postgres"])
def test_the_root_file_system_is_read_only_and_tmp_is_not(stack: Stack, service: str) -> None:
    assert stack.inspect(stack.containers(service)[0])["HostConfig"]["ReadonlyRootfs"] is True
    stack.exec(service, "sh", "-c", READ_ONLY)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_that_ends_is_started_again_unless_somebody_stopped_it(
    stack: Stack, service: str
) -> None:
    policy = stack.inspect(stack.containers(service)[0])["HostConfig"]["RestartPolicy"]
    assert policy["Name"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_a_health_check_that_passes(stack: Stack, service: str) -> None:
    """At some time, as engines look: a check gives up after seconds, in which a busy machine may not get to it."""
    configured: dict[str, Any] = stack.inspect(stack.containers(service)[0])["Config"]["Healthcheck"]
    kind, *command = configured["Test"]
    check = command if kind == "CMD" else ["sh", "-c", *command]
    wait_until(
        lambda: stack.exec(service, *check, check=False).code == 0, what=f"a healthy {service}", timeout=300
    )


def test_valkey_keeps_what_it_was_told_and_never_evicts(stack: Stack) -> None:
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    for name, value in wanted.items():
        answer = stack.exec("valkey", "valkey-cli", "CONFIG", "GET", name).stdout.split()
        assert answer == [name, value]


def test_the_server_and_the_worker_use_one_constant_prefix(stack: Stack) -> None:
    program = "import os; print(os.environ['CLAUDE_MEM_QUEUE_REDIS_PREFIX'])"
    assert {stack.output(service, "python", "-c", program).strip() for service in (SERVER, WORKER)} == {
        "claude_mem"
    }


def test_the_worker_listens_nowhere(stack: Stack) -> None:
    program = "print(open('/proc/net/tcp').read() + open('/proc/net/tcp6').read())"
    states = [
        line.split()[3] for line in stack.output(WORKER, "python", "-c", program).splitlines() if ":" in line
    ]
    assert "0A" not in states
    bindings = stack.inspect(stack.containers(WORKER)[0])["HostConfig"]["PortBindings"]
    assert not any(bindings.values())


def test_the_stores_are_reached_from_their_own_network_only(stack: Stack) -> None:
    program = "import socket; socket.create_connection((input(), 6379), 3)"
    address = stack.output(
        SERVER, "python", "-c", "import socket; print(socket.gethostbyname('valkey'))"
    ).strip()
    tried = engine(
        *("run", "--rm", "--network", f"{stack.project}_edge", "--entrypoint", "python"),
        *("claude-mem-runtime:local", "-c", program.replace("input()", repr(address))),
        check=False,
    )
    assert tried.code != 0
    assert "Error" in tried.stderr


@pytest.mark.parametrize("missing", ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"])
def test_the_databases_variables_have_no_defaults(
    missing: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    unset = Stack(tmp_path_factory.mktemp("unset"), project="claude-mem-unset", variables={missing: ""})
    refused = unset.compose("config", check=False)
    assert refused.code != 0
    assert missing in refused.stderr + refused.stdout
