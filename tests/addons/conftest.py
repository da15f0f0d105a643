"""Fixtures of the tests with what others add to a cluster; `make test-addons` sets up what they need."""

from __future__ import annotations

import pytest

from tests.support.helm import Helm
from tests.support.kube.addons import addons
from tests.support.kube.scripts import UnavailableError
from tests.support.tiers import cannot_run


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """The programs are there, or it is told why not."""
    try:
        addons()
    except UnavailableError as reason:
        cannot_run(str(reason))


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Helm, on the charts of this checkout; it talks to no cluster."""
    try:
        return Helm()
    except UnavailableError as reason:
        cannot_run(str(reason))
