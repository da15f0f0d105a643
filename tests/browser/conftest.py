"""Fixtures of the tests in a browser: one Chromium and one server for the run, a tab and a team for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.viewer_timing import LISTEN
from tests.support.browser import Viewer, launch, viewing
from tests.support.http import Server, Tenant


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite that generates nothing, so that jobs stay as they are put."""
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "true"}
    with Server(tmp_path_factory.mktemp("viewer"), environ=environ) as found:
        yield found


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return server.tenant()


@pytest.fixture
def viewer(browser: Browser, server: Server) -> Iterator[Viewer]:
    with viewing(browser, server) as found:
        yield found


@pytest.fixture
def listening(viewer: Viewer) -> Viewer:
    """A tab that keeps what its stream told."""
    viewer.page.add_init_script(LISTEN)
    return viewer
