"""A machine that cannot run a cluster: it is told what is missing, and CI does not pass without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.kube import kind, scripts
from tests.support.kube.kind import KindCluster, NotKindError, require_kind
from tests.support.kube.kubectl import Kubectl
from tests.support.tiers import cannot_run


def test_missing_programs_are_named_with_what_makes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(scripts.ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(scripts.UnavailableError, match=r"not built yet: run 'hack/cluster/programs"):
        scripts.programs("control-plane")


def test_kind_is_not_sought_outside_its_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLUSTER_WITHIN", raising=False)
    with pytest.raises(scripts.UnavailableError, match="make test-cluster"):
        KindCluster(tmp_path)


def test_a_cluster_to_be_reused_has_to_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLUSTER_WITHIN", "1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for program in ("helm", "kubectl"):
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "claude-mem.kubeconfig"))
    monkeypatch.setenv(kind.REUSE, "nowhere")
    with pytest.raises(scripts.UnavailableError, match="--name nowhere up"):
        KindCluster(tmp_path)


def test_a_cluster_that_kind_did_not_make_is_not_touched(tmp_path: Path) -> None:
    context = tmp_path / "kubectl"
    context.write_text("#!/bin/sh\necho production\n")
    context.chmod(0o755)
    with pytest.raises(NotKindError, match="production"):
        require_kind(Kubectl(context, tmp_path / "kubeconfig"))


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_ci_fails_where_others_skip(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no engine"):
        cannot_run("no engine")
