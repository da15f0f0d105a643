"""Which surroundings count as a container, and what CLAUDE_MEM_DOCKER=0 sets aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from claude_mem.environment import detect
from claude_mem.environment.containers import container_cgroup

if TYPE_CHECKING:
    from pathlib import Path

ID = "3f2a9c1d4e5b60718293a4b5c6d7e8f90123456789abcdef0123456789abcdef"
POD = "pod1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
POD_SLICE = "kubepods-burstable-pod1b2c3d4e_5f60_7182_93a4_b5c6d7e8f901.slice"

IN_A_CONTAINER = {
    "docker v1": ("docker", f"12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n"),
    "docker v1 under a parent": ("docker", f"4:cpu,cpuacct:/system/docker/{ID}"),
    "docker v2 systemd": ("docker", f"0::/system.slice/docker-{ID}.scope"),
    "docker rootless": ("docker", f"0::/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope/init"),
    "docker build": ("docker", "0::/docker/buildkit/x1y2z3abc"),
    "podman v1": ("libpod", f"11:pids:/machine.slice/libpod-{ID}.scope"),
    "podman v2": ("libpod", f"0::/machine.slice/libpod-{ID}.scope/container"),
    "podman rootless": (
        "libpod",
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
    ),
    "podman cgroupfs": ("libpod", f"7:cpuset:/libpod_parent/libpod-{ID}"),
    "podman in a service": ("libpod", f"0::/system.slice/app.service/libpod-payload-{ID}"),
    "containerd by nerdctl": ("containerd", f"0::/system.slice/nerdctl-{ID}.scope"),
    "containerd cgroupfs": ("containerd", f"3:devices:/default/{ID}"),
    "containerd cri": ("containerd", f"1:name=systemd:/system.slice/cri-containerd-{ID}.scope"),
    "containerd cri, runc notation": ("containerd", f"0::/system.slice:cri-containerd:{ID}"),
    "crio": ("crio", f"0::/system.slice/crio-{ID}.scope"),
    "kubernetes v1 cgroupfs": ("kubepods", f"9:memory:/kubepods/burstable/{POD}/{ID}"),
    "kubernetes v2 systemd": (
        "kubepods",
        f"0::/kubepods.slice/kubepods-burstable.slice/{POD_SLICE}/cri-containerd-{ID}.scope",
    ),
    "kubernetes on crio": ("kubepods", f"0::/kubepods.slice/{POD_SLICE}/crio-{ID}.scope"),
    "kind": ("kubepods", f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-{POD_SLICE}/{ID}"),
    "k3s": ("kubepods", f"5:pids:/system.slice/k3s.service/kubepods/besteffort/{POD}/{ID}"),
}

ON_A_HOST = {
    "empty": "",
    "root of a namespace": "0::/\n",
    "login session": "0::/user.slice/user-1000.slice/session-3.scope",
    "terminal": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice",
    "the docker daemon": "0::/system.slice/docker.service",
    "a docker client": "0::/user.slice/user-1000.slice/user@1000.service/docker.service",
    "the containerd daemon": "1:name=systemd:/system.slice/containerd.service",
    "the kubelet": "0::/system.slice/kubelet.service",
    "the crio daemon": "0::/system.slice/crio.service",
    "podman's monitor": f"0::/machine.slice/libpod-conmon-{ID}.scope",
    "crio's monitor": f"0::/system.slice/crio-conmon-{ID}.scope",
    "somebody's folder": "0::/user.slice/docker/tools",
    "a virtual machine's agent": "4:memory:/process_api/80a274e46ce710b2575d2425cd3f53f7\n0::/",
}


@pytest.mark.parametrize(("runtime", "listing"), IN_A_CONTAINER.values(), ids=IN_A_CONTAINER)
def test_a_containers_own_cgroup_is_a_sign(runtime: str, listing: str, tmp_path: Path) -> None:
    assert container_cgroup(listing) == runtime
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(listing)
    found = detect({"CLAUDE_MEM_DOCKER": "0"}, root=tmp_path)
    assert found.is_container
    assert found.hints == (f"/proc/self/cgroup ({runtime})",)


@pytest.mark.parametrize("listing", ON_A_HOST.values(), ids=ON_A_HOST)
def test_a_hosts_cgroup_is_none(listing: str, tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(listing)
    assert not detect({}, root=tmp_path).is_container


def test_a_bare_root_is_no_container(tmp_path: Path) -> None:
    found = detect({}, root=tmp_path)
    assert (found.is_container, found.hints, found.overridden) == (False, (), ())


def _touch(root: Path, name: str) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("name", ["/.dockerenv", "/run/.containerenv"])
@pytest.mark.parametrize("off", ["0", "false", " False "])
def test_an_engines_file_is_a_sign_that_zero_overrides(name: str, off: str, tmp_path: Path) -> None:
    _touch(tmp_path, name)
    assert detect({}, root=tmp_path).hints == (name,)
    found = detect({"CLAUDE_MEM_DOCKER": off}, root=tmp_path)
    assert not found.is_container
    assert found.overridden == (name,)


@pytest.mark.parametrize("value", ["", " ", "no", "2"])
def test_only_zero_and_false_override(value: str, tmp_path: Path) -> None:
    _touch(tmp_path, "/.dockerenv")
    assert detect({"CLAUDE_MEM_DOCKER": value}, root=tmp_path).is_container


@pytest.mark.parametrize(
    ("environ", "files", "hint"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, (), "KUBERNETES_SERVICE_HOST"),
        ({"container": "podman"}, (), "container=podman"),
        ({}, ("/etc/claude-mem/container",), "/etc/claude-mem/container"),
    ],
)
def test_zero_overrides_nothing_else(
    environ: dict[str, str], files: tuple[str, ...], hint: str, tmp_path: Path
) -> None:
    for name in (*files, "/.dockerenv", "/run/.containerenv"):
        _touch(tmp_path, name)
    found = detect({**environ, "CLAUDE_MEM_DOCKER": "0"}, root=tmp_path)
    assert found.is_container
    assert found.hints == (hint,)
    assert found.overridden == ("/.dockerenv", "/run/.containerenv")


@pytest.mark.parametrize("value", ["1", "true", "TRUE", " 1 "])
def test_one_and_true_declare_a_container(value: str, tmp_path: Path) -> None:
    assert detect({"CLAUDE_MEM_DOCKER": value}, root=tmp_path).hints == ("CLAUDE_MEM_DOCKER",)


@pytest.mark.parametrize("name", ["KUBERNETES_SERVICE_HOST", "container", "CLAUDE_MEM_DOCKER"])
def test_a_blank_variable_is_no_sign(name: str, tmp_path: Path) -> None:
    assert not detect({name: " \t"}, root=tmp_path).is_container


def test_the_mount_table_is_no_sign(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(
        f"1 2 0:1 / /var/lib/docker/overlay2/{ID}/merged rw - overlay overlay rw\n"
    )
    assert not detect({}, root=tmp_path).is_container
