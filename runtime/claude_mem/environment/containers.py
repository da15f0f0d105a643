"""Whether this process runs in a container: Docker, Podman, containerd, CRI-O or Kubernetes.

Leaves to `rules` what follows from the answer. Only signs of the process's own surroundings count. The mount
table is not read: it lists overlay mounts on a host that merely runs containerd.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from claude_mem.environment.values import is_off, is_on, shown, text

if TYPE_CHECKING:
    from collections.abc import Mapping

# Files that a container engine, or a development machine made like one, puts in the root.
ENGINE_FILES = ("/.dockerenv", "/run/.containerenv")
IMAGE_MARKER_FILE = "/etc/claude-mem/container"
CGROUP_FILE = "/proc/self/cgroup"

# What each runtime calls a container's cgroup. Ids are hex of 12 digits and more; a unit of the host such as
# docker.service, libpod-conmon-… or kubelet.service is none of these.
CGROUP_PATTERNS = (
    ("kubepods", re.compile(r"(?:^|[/:-])kubepods(?=[./:-]|$)")),
    ("docker", re.compile(r"/docker(?:/buildkit/[^/]+|/[0-9a-f]{12,}|-[0-9a-f]{12,}\.scope)(?=[/.]|$)")),
    ("libpod", re.compile(r"/libpod-(?:payload-)?[0-9a-f]{12,}(?=[/.]|$)")),
    ("crio", re.compile(r"[/:]crio[-/:][0-9a-f]{12,}(?=[/.]|$)")),
    (
        "containerd",
        re.compile(
            r"(?:[/:](?:cri-containerd|containerd|nerdctl)[-:/]|/(?:default|k8s\.io|moby)/)"
            r"[0-9a-f]{12,}(?=[/.]|$)"
        ),
    ),
)


class ContainerVerdict(BaseModel):
    """What `detect` found.

    `hints` are the signs that count, in the order they are looked for; `overridden` are those that
    CLAUDE_MEM_DOCKER=0 set aside.
    """

    model_config = ConfigDict(frozen=True)

    is_container: bool
    hints: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()


def detect(environ: Mapping[str, str], *, root: Path = Path("/")) -> ContainerVerdict:
    """Look for the signs of a container in `environ` and in the file system under `root`.

    CLAUDE_MEM_DOCKER=1 (or true) declares a container. CLAUDE_MEM_DOCKER=0 (or false) declares a development
    machine, but sets aside the engines' two marker files only: Kubernetes, a container's cgroup and the
    marker of our own images stay what they are. Files that cannot be read are no sign.
    """
    declared = text(environ, "CLAUDE_MEM_DOCKER")
    found = tuple(name for name in ENGINE_FILES if _exists(root, name))
    overridden = found if is_off(declared) else ()
    hints = [name for name in found if name not in overridden]
    if text(environ, "KUBERNETES_SERVICE_HOST"):
        hints.append("KUBERNETES_SERVICE_HOST")
    manager = text(environ, "container")
    if manager:
        hints.append(f"container={shown(manager)}")
    runtime = container_cgroup(_read(root, CGROUP_FILE))
    if runtime:
        hints.append(f"{CGROUP_FILE} ({runtime})")
    if is_on(declared):
        hints.append("CLAUDE_MEM_DOCKER")
    if _exists(root, IMAGE_MARKER_FILE):
        hints.append(IMAGE_MARKER_FILE)
    return ContainerVerdict(is_container=bool(hints), hints=tuple(hints), overridden=overridden)


def container_cgroup(listing: str) -> str | None:
    """The runtime that a /proc/self/cgroup listing (version 1 or 2) tells of, or None on a plain host."""
    for line in listing.splitlines():
        path = line.split(":", 2)[-1]
        for runtime, pattern in CGROUP_PATTERNS:
            if pattern.search(path):
                return runtime
    return None


def _exists(root: Path, name: str) -> bool:
    return os.path.lexists(root / name.lstrip("/"))


def _read(root: Path, name: str) -> str:
    try:
        return (root / name.lstrip("/")).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
