"""The first run, as `make run` does it: a replayed session, searches, then serving until it is told to end."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.processes import ProcessGroup, http_status

ROOT = Path(__file__).parents[2]


def test_the_first_run_shows_memories_and_serves_until_it_is_ended(processes: ProcessGroup) -> None:
    demo = processes.start(sys.executable, "-m", "hack.demo", "--serve", cwd=ROOT, env={"COLUMNS": "160"})
    demo.wait_for_line("^Serving until", timeout=500)
    url = demo.wait_for_line(r"^Server: (http://127\.0\.0\.1:\d+)$").group(1)
    # A server that is busy for two seconds says that it is not ready.
    demo.wait_for_http(f"{url}/readyz")
    assert "The session's summary" in demo.stdout
    assert "PaymentClient charge" in demo.stdout
    assert "are in no file of the server" in demo.stdout
    assert demo.terminate() == 0
    assert http_status(f"{url}/readyz") is None
