"""The managed stores' commands, as they stand in their pods, do on real servers what is promised of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_mem_operator.desired import desired
from claude_mem_operator.desired.postgres import ROOT
from tests.support.operator_resources import inputs
from tests.support.postgres import bin_directory, unprivileged_user
from tests.support.processes import Process, wait_until
from tests.support.valkey import PROGRAMS

pytestmark = pytest.mark.services

PASSWORD = "it's a \\ password"


class Pod:
    """A store's container as processes of this machine, its paths and its port moved to the test's own.

    Parameters:
        store: `postgres` or `valkey`.
        moved: what of the manifest's words becomes what.
    """

    def __init__(
        self, store: str, *, directory: Path, moved: dict[str, str], more: list[str], env: dict[str, str]
    ) -> None:
        manifests = {stage.name: stage.manifests for stage in desired(inputs())}[store]
        self.container: Any = manifests[1]["spec"]["template"]["spec"]["containers"][0]
        self._directory, self._moved, self._more, self._env = directory, moved, more, env
        self._user = unprivileged_user()

    def _placed(self, words: list[str]) -> list[str]:
        old = re.compile("|".join(map(re.escape, self._moved)))
        return [old.sub(lambda match: self._moved[match[0]], word) for word in words]

    def _environment(self, password: str) -> dict[str, str]:
        found = {
            item["name"]: self._placed([item.get("value", password)])[0] for item in self.container["env"]
        }
        return {"LC_ALL": "C.UTF-8", **found, **self._env}

    def start(self, password: str) -> Process:
        command = self._placed(self.container["command"]) + self._more
        assert password not in " ".join(command)
        process = Process(command, cwd=self._directory, env=self._environment(password), user=self._user)
        process.wait_until(lambda: self.probe("startupProbe", password), what="its startup probe")
        return process

    def wait_until_passed(self, name: str, password: str) -> None:
        """Wait until a probe passes: it gives up after seconds, in which a busy machine may not get to it."""
        wait_until(lambda: self.probe(name, password), what=f"its {name}")

    def probe(self, name: str, password: str) -> bool:
        return self.run(self.container[name]["exec"]["command"], password).returncode == 0

    def run(self, command: list[str], password: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._placed(command),
            env={**self._environment(password), **env},
            cwd=self._directory,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short enough a path for a socket, with the pod's volumes in it."""
    path = Path(tempfile.mkdtemp(prefix="claude-mem-pod-"))
    for made in (path, path / "volume", path / "tmp", path / "bin"):
        made.mkdir(exist_ok=True)
        if user := unprivileged_user():
            shutil.chown(made, user)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def postgres_pod(directory: Path, free_port: int) -> Pod:
    return Pod(
        "postgres",
        directory=directory,
        moved={ROOT: f"{directory}/volume", "/tmp": f"{directory}/tmp"},
        more=["-c", f"port={free_port}"],
        env={"PATH": f"{bin_directory()}:{os.environ['PATH']}", "PGPORT": str(free_port)},
    )


@pytest.fixture
def valkey_pod(directory: Path, free_port: int) -> Pod:
    """Valkey under its own name, also where this machine has Redis in its place."""
    for part in ("server", "cli"):
        found = [path for name in PROGRAMS if (path := shutil.which(name.replace("server", part)))]
        (directory / "bin" / f"valkey-{part}").symlink_to(found[0])
    return Pod(
        "valkey",
        directory=directory,
        moved={
            "/data": f"{directory}/volume",
            "/tmp": f"{directory}/tmp",
            "valkey-cli ": f"valkey-cli -p {free_port} ",
        },
        more=["--port", str(free_port), "--bind", "127.0.0.1"],
        env={"PATH": f"{directory}/bin:{os.environ['PATH']}"},
    )


def query(pod: Pod, statement: str, password: str) -> subprocess.CompletedProcess[str]:
    command = ["psql", "--no-psqlrc", "--host=127.0.0.1", "-At", f"--command={statement}"]
    return pod.run(command, PASSWORD, PGPASSWORD=password)


def stop(pod: Pod, process: Process) -> None:
    """As the kubelet ends a pod: the hook first, whose process 1 is here another."""
    hook = pod.container["lifecycle"]["preStop"]["exec"]["command"]
    pod.run([word.replace(" 1", f" {process.pid}") for word in hook], PASSWORD)
    process.wait()


def test_postgres_is_made_and_asks_for_its_password(postgres_pod: Pod) -> None:
    process = postgres_pod.start(PASSWORD)
    for name in ("readinessProbe", "livenessProbe"):
        postgres_pod.wait_until_passed(name, PASSWORD)
    found = query(postgres_pod, "SELECT current_user, current_database()", PASSWORD)
    assert found.stdout == "claude_mem|claude_mem\n", found.stderr
    assert query(postgres_pod, "SELECT 1", "wrong").returncode != 0
    settings = (
        query(postgres_pod, "SHOW shared_buffers", PASSWORD),
        query(postgres_pod, "SHOW max_connections", PASSWORD),
    )
    assert [answer.stdout.strip() for answer in settings] == ["256MB", "512"]
    stop(postgres_pod, process)
    assert "fast shutdown" in process.stderr
    process.close()


def test_postgres_keeps_its_data_and_takes_another_password(postgres_pod: Pod) -> None:
    process = postgres_pod.start("first")
    assert query(postgres_pod, "CREATE TABLE kept (id int)", "first").returncode == 0
    process.kill_tree()
    process.close()
    again = postgres_pod.start(PASSWORD)
    assert query(postgres_pod, "TABLE kept", PASSWORD).returncode == 0
    assert query(postgres_pod, "TABLE kept", "first").returncode != 0
    again.kill_tree()
    again.close()


def test_a_postgres_whose_making_was_cut_short_is_made_again(postgres_pod: Pod, directory: Path) -> None:
    half = directory / "volume" / "unfinished" / "base"
    half.mkdir(parents=True)
    for path in (half.parent, half):
        if user := unprivileged_user():
            shutil.chown(path, user)
    process = postgres_pod.start(PASSWORD)
    assert not half.parent.exists()
    (directory / "volume" / "cluster").chmod(0o770)  # as a kubelet may leave it that sets a volume's group
    process.kill_tree()
    process.close()
    again = postgres_pod.start(PASSWORD)
    again.kill_tree()
    again.close()


def test_valkey_asks_for_its_password_and_keeps_what_it_was_given(valkey_pod: Pod) -> None:
    process = valkey_pod.start("secret1")
    valkey_pod.wait_until_passed("readinessProbe", "secret1")
    assert not valkey_pod.probe("readinessProbe", "wrong")
    said = valkey_pod.run(["sh", "-c", "valkey-cli set kept yes"], "secret1")
    assert said.stdout == "OK\n"
    settings = valkey_pod.run(
        ["sh", "-c", "valkey-cli config get maxmemory; valkey-cli config get maxmemory-policy"], "secret1"
    ).stdout.split()
    assert settings == ["maxmemory", str(192 * 1024**2), "maxmemory-policy", "noeviction"]
    saving = valkey_pod.run(["sh", "-c", "valkey-cli config get save"], "secret1").stdout.split()
    assert saving == ["save"], "the append-only file is the only one"
    os.kill(process.pid, 15)
    wait_until(lambda: not process.is_running, what="Valkey to end in order")
    process.close()
    again = valkey_pod.start("secret2")
    assert valkey_pod.run(["sh", "-c", "valkey-cli get kept"], "secret2").stdout == "yes\n"
    again.kill_tree()
    again.close()
