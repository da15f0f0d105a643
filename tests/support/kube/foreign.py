"""Definitions of other projects' kinds that the operator knows, as those projects ship them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from claude_mem_operator.kube.kinds import OPTIONAL_KINDS
from tests.support.kube.kubectl import Kubectl
from tests.support.kube.scripts import UnavailableError, script
from tests.support.tiers import cannot_run


@contextmanager
def foreign_kinds(kubectl: Kubectl) -> Iterator[None]:
    """A cluster that serves every optional kind, until the block is left. Without their definitions no test can run."""
    try:
        directory = Path(script("definitions", "--present").strip())
    except UnavailableError as reason:
        cannot_run(str(reason))
    names = [f"{kind.plural}.{kind.group}" for kind in OPTIONAL_KINDS]
    kubectl("apply", "--server-side", "--filename", str(directory))
    try:
        kubectl.wait_until_served(*names)
        yield
    finally:
        kubectl("delete", "crd", *names)
