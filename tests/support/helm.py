"""Helm as tests call it: the charts of this repository, rendered and read as YAML."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.kube.scripts import ROOT, programs

OPERATOR = ROOT / "charts" / "claude-mem-operator"
DEFINITIONS = ROOT / "charts" / "claude-mem-operator-crds"
NAMESPACE = "claude-mem-system"
#: That in C reads the definition of the resource in a tenth of the time; a PyYAML without libyaml lacks it.
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class HelmError(AssertionError):
    """Raised when Helm refuses; the message is what it wrote."""


class Helm:
    """The Helm of hack/cluster.

    Raises: UnavailableError where it is not built.
    """

    def __init__(self) -> None:
        self._program: Path = programs("client") / "helm"

    def __call__(self, *arguments: str, values: Mapping[str, Any] | None = None, timeout: float = 120) -> str:
        """Run a command, with values for a chart, and return its standard output.

        Raises: HelmError.
        """
        command = [str(self._program), *arguments]
        if values is not None:
            command += ["--values", "-"]
        done = subprocess.run(
            command,
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(done.stderr)
        return done.stdout

    def render(
        self,
        chart: Path,
        values: Mapping[str, Any] | None = None,
        *,
        release: str = "claude-mem-operator",
        namespace: str = NAMESPACE,
        hooks: bool = False,
        kubernetes: str = "1.34.0",
    ) -> list[dict[str, Any]]:
        """The objects that a chart makes of its values; its tests too with ``hooks``.

        Raises: HelmError.
        """
        options = ["--namespace", namespace, "--kube-version", kubernetes, *([] if hooks else ["--no-hooks"])]
        text = self("template", release, str(chart), *options, values=values or {})
        return [one for one in yaml.load_all(text, Loader=_LOADER) if one]


def find(manifests: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of a kind, or of a kind and a name."""
    (found,) = (one for one in manifests if one["kind"] == kind and name in {None, one["metadata"]["name"]})
    return found
