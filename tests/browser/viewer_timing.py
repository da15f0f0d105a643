"""What comes when: answers that are held up, and what the page's stream has told."""

from __future__ import annotations

import json
import time
from typing import Any

from playwright.sync_api import APIResponse, Page, Route

from tests.support.browser import Viewer
from tests.support.http import PATIENCE_S

#: Keeps what streams tell, as it comes; what the page hears of it has been heard a moment later.
LISTEN = """
window.heard = "";
const read = ReadableStreamDefaultReader.prototype.read;
ReadableStreamDefaultReader.prototype.read = async function () {
  const found = await read.call(this);
  if (typeof found.value === "string") setTimeout(() => { window.heard += found.value; });
  return found;
};
"""


class Held:
    """Requests that are held up until they are let go.

    Parameters:
        answered: the server answers at once, and its answer is what is held up.
        most: how many are held; those behind them go through.
    """

    def __init__(self, page: Page, pattern: str, *, answered: bool = True, most: int | None = None) -> None:
        self._page = page
        self._answered = answered
        self._room = most
        self._holding = True
        self._held: list[tuple[Route, APIResponse | None]] = []
        page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        if not self._holding or self._room == 0:
            return route.continue_()
        if self._room is not None:
            self._room -= 1
        answer = route.fetch() if self._answered else None
        if self._holding:
            return self._held.append((route, answer))
        return _go_on(route, answer)

    def wait(self, count: int = 1) -> None:
        """Wait until there are so many."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self._held) < count:
            assert time.monotonic() < deadline, "nothing is asked for"
            self._page.wait_for_timeout(20)

    def let_go(self) -> None:
        self._holding = False
        for route, answer in self._held:
            _go_on(route, answer)

    def refuse(self, status: int = 503) -> None:
        """Let them go, with a refusal: unless another is named, that of a server whose database is away."""
        self._holding = False
        for route, _ in self._held:
            route.fulfill(status=status, json={})

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Answer the first with a stream that tells of one thing and ends, and go on holding."""
        route, _ = self._held.pop(0)
        body = f"event: {event}\ndata: {json.dumps(data)}\n\n"
        route.fulfill(content_type="text/event-stream", body=body)


def _go_on(route: Route, answer: APIResponse | None) -> None:
    if answer is None:
        route.continue_()
    else:
        route.fulfill(response=answer)


def hear(viewer: Viewer, words: str) -> None:
    """Wait until the stream has told of something."""
    viewer.page.wait_for_function("(words) => window.heard.includes(words)", arg=words)


def let_answers_be_used(page: Page) -> None:
    """What is done with an answer is done before the next turn of the page's loop but one."""
    page.evaluate("new Promise((done) => setTimeout(() => setTimeout(done)))")


def come_in(viewer: Viewer, key: str) -> None:
    """Sign in, and wait for the stream alone."""
    viewer.open()
    viewer.page.get_by_label("API key").fill(key)
    viewer.page.get_by_role("button", name="Sign in").click()
    viewer.wait_live()


def come_in_unheard(viewer: Viewer, key: str, path: str = "/") -> Held:
    """Sign in, while every stream is held up. Returns: the streams."""
    streams = Held(viewer.page, "**/v1/stream**", answered=False)
    viewer.open(path)
    viewer.page.get_by_label("API key").fill(key)
    viewer.page.get_by_role("button", name="Sign in").click()
    return streams
