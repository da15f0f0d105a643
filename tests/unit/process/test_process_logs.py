"""Logs: one line each, for people or machines, on standard error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from claude_mem.process import logs


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
