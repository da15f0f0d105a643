"""Logs: one line each, for people or machines, on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from claude_mem.process import logs
from claude_mem.telemetry.context import bound


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_carry_the_extra_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="INFO", form="json")
    logging.getLogger("a.b").info("naïve %s", "text", extra={"jobId": "j", "odd": object})
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["logger"], entry["message"]) == ("INFO", "a.b", "naïve text")
    assert entry["jobId"] == "j"
    assert entry["time"].endswith("Z")


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="WARN", form="json")
    try:
        int("broken")
    except ValueError:
        logging.getLogger("a").exception("failed")
    logging.getLogger("a").info("not shown")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="DEBUG", form="text")
    logging.getLogger("a").debug("done", extra={"port": 1})
    for library in ("httpx", "httpx2", "httpcore2.http11"):
        logging.getLogger(library).info("not shown: it would name addresses")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("DEBUG a: done port=1")


async def test_what_is_bound_to_a_task_is_on_each_of_its_lines_and_on_no_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(level="INFO", form="json")
    logger = logging.getLogger("a")
    both = asyncio.Barrier(2)

    async def answer(number: int) -> None:
        with bound(requestId=f"r-{number}", nothing=None):
            await both.wait()
            with bound(jobIds=["j"]):
                logger.info("inside")
            logger.info("after", extra={"requestId": "its own"} if number == 2 else None)

    await asyncio.gather(answer(1), answer(2))
    logger.info("outside")
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    inside = {entry["requestId"]: entry["jobIds"] for entry in entries if entry["message"] == "inside"}
    assert inside == {"r-1": ["j"], "r-2": ["j"]}
    assert sorted(entry["requestId"] for entry in entries if entry["message"] == "after") == [
        "its own",
        "r-1",
    ]
    assert {"requestId", "jobIds", "nothing"}.isdisjoint(entries[-1])
