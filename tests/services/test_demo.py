"""The first run, as `make run` does it: a replayed session, searches, then serving until it is told to end."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hack.demo import environment_of, wait_until_ready
from tests.support.processes import ProcessEndedError, ProcessGroup, http_status

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


@pytest.mark.parametrize("listens", [True, False])
def test_a_port_that_somebody_has_is_left_alone(
    *, listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()
        usual = str(other.getsockname()[1])

        def default_url(environ: Mapping[str, str]) -> str:
            return f"http://127.0.0.1:{environ.get('CLAUDE_MEM_SERVER_PORT', usual)}"

        monkeypatch.setattr("hack.demo.default_server_url", default_url)
        environment, url = environment_of(tmp_path)
    assert environment["CLAUDE_MEM_SERVER_PORT"] != usual
    assert url == f"http://127.0.0.1:{environment['CLAUDE_MEM_SERVER_PORT']}"


class _AlwaysReady(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_another_server_at_its_address_is_not_taken_for_the_demos_own(
    processes: ProcessGroup, tmp_path: Path
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _AlwaysReady) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        try:
            environment, _ = environment_of(tmp_path)
            port = str(other.server_address[1])
            program = str(Path(sys.executable).with_name("claude-mem"))
            own = processes.start(
                program, "server", "--daemon", env={**environment, "CLAUDE_MEM_SERVER_PORT": port}
            )
            with pytest.raises(ProcessEndedError, match=f"port {port} on 127.0.0.1 is in use"):
                wait_until_ready(own, url=f"http://127.0.0.1:{port}", data=tmp_path)
        finally:
            other.shutdown()
