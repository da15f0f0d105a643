"""The first run: a local server, a recorded coding session replayed into it, and what it then remembers.

Nothing here is special to the demo but the recording: the server is ``claude-mem server --daemon`` with no
settings, and each line of the recording goes through ``claude-mem hook`` as a coding agent would send it; but that
this hook does not end itself on a machine that is busy. All is kept in a directory of this run's own, which ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from claude_mem.client import Client
from claude_mem.client.errors import ClaudeMemError
from claude_mem.client.settings import default_server_url
from claude_mem.process import state
from tests.support.hook_program import PATIENT, PROGRAM
from tests.support.ports import claim_port, free_port
from tests.support.processes import Process, WaitTimeoutError, wait_until

if TYPE_CHECKING:
    from claude_mem.client.models import Job, Observation

ROOT = Path(__file__).parents[1]
SESSION = ROOT / "examples" / "session" / "hooks.jsonl"
PROJECT = "local-hook-project"
QUERIES = ("retry budget jitter", '"idempotency key"', "PaymentClient charge")
SECRETS = ("not-a-real-password", "parental leave")
#: As long as each step may take on a busy machine.
READY_SECONDS = GENERATION_SECONDS = HOOK_SECONDS = 240
ANSWER_SECONDS = 60
OUR_VARIABLES = ("CLAUDE_MEM_", "ANTHROPIC_", "GEMINI_", "OPENROUTER_")

console = Console()


class DemoError(Exception):
    """Raised when a step of the demo does not end as it should; the message says which and what was seen."""


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="keep serving afterwards, until Ctrl-C")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            scratch = ROOT / ".run"
            scratch.mkdir(exist_ok=True)
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir=scratch)))
            environment, url = environment_of(data)
            server = stack.enter_context(Process([PROGRAM, "server", "--daemon"], env=environment))
            console.rule("[bold]claude-mem")
            wait_until_ready(server, url=url, data=data)
            client = stack.enter_context(Client(server_url=url, project_id=PROJECT, timeout=ANSWER_SECONDS))
            _tell(client, url=url, data=data, environment=environment)
            if arguments.serve:
                _serve(server, url)
            return _stop(server)
    except KeyboardInterrupt:
        return 130
    except (DemoError, ClaudeMemError, AssertionError) as error:
        console.print("[bold red]The demo failed:[/]", Text(str(error)), highlight=False)
        return 1


def wait_until_ready(server: Process, *, url: str, data: Path) -> None:
    """Wait until this very server listens and is ready: at its address another program may answer.

    Raises: WaitTimeoutError, ProcessEndedError.
    """
    server.wait_until(lambda: state.read(data), what="the server to listen", timeout=READY_SECONDS)
    server.wait_for_http(f"{url}/readyz", timeout=READY_SECONDS)


def _tell(client: Client, *, url: str, data: Path, environment: dict[str, str]) -> None:
    console.print(f"A server is ready at {url}, with SQLite and no key.")
    lines = SESSION.read_text(encoding="utf-8").splitlines()
    _replay(lines, {**environment, "CLAUDE_MEM_SERVER_URL": url, "CLAUDE_MEM_SERVER_PROJECT_ID": PROJECT})
    _wait_for_generation(client, events=sum(map(_makes_an_event, lines)), data=data)
    _show_memories(client)
    _show_searches(client)
    _check_redaction(data)
    body = json.dumps({"projectId": PROJECT, "query": QUERIES[0]})
    console.rule()
    console.print(f"Server: {url}")
    curl = f"curl -s {url}/v1/search -H 'Content-Type: application/json' -d '{body}'"
    console.print(f"Try:    {curl}", soft_wrap=True, markup=False)


def environment_of(data: Path) -> tuple[dict[str, str], str]:
    """No settings but a data directory and, where the usual port is taken, another; and the server's URL."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
    environment = {**inherited, "CLAUDE_MEM_DOCKER": "0", "CLAUDE_MEM_DATA_DIR": str(data)}
    # The recording has several turns, a second apart: sum the whole session up, and soon.
    environment["CLAUDE_MEM_SUMMARY_REFRESH_MS"] = "1000"
    url = default_server_url(environment)
    if not claim_port(int(url.rpartition(":")[2])):
        environment["CLAUDE_MEM_SERVER_PORT"] = str(free_port())
        url = default_server_url(environment)
    return environment, url


def _replay(lines: list[str], environment: dict[str, str]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Replaying a recorded session", total=len(lines))
        for line in lines:
            done = subprocess.run(
                [*PATIENT, "hook"],
                check=False,
                capture_output=True,
                env=environment,
                input=line,
                text=True,
                timeout=HOOK_SECONDS,
            )
            if done.returncode:
                raise DemoError(f"claude-mem hook ended with {done.returncode}: {done.stderr.strip()}")
            progress.advance(task)
    # A hook that could not send at once left it for the next one, and the last one has none.
    done = subprocess.run(
        [PROGRAM, "spool", "flush"], check=False, capture_output=True, env=environment, text=True
    )
    if done.returncode:
        raise DemoError(f"claude-mem spool flush ended with {done.returncode}: {done.stderr.strip()}")


def _makes_an_event(line: str) -> bool:
    return json.loads(line)["hook_event_name"] in {"PostToolUse", "Stop"}


def _wait_for_generation(client: Client, *, events: int, data: Path) -> None:
    jobs: list[Job] = []

    def finished() -> bool:
        jobs[:] = client.list_jobs(limit=200).jobs
        sources = Counter(job.source_type for job in jobs)
        settled = all(job.status in {"completed", "failed", "cancelled"} for job in jobs)
        return settled and sources["agent_event"] >= events and sources["session_summary"] > 0

    with console.status("Distilling observations and the session's summary …"):
        try:
            wait_until(finished, what=f"the jobs of {events} events", timeout=GENERATION_SECONDS)
        except WaitTimeoutError as error:
            log = data / "logs" / "hook.log"
            said = log.read_text(errors="replace")[-2000:] if log.exists() else "(nothing)"
            raise DemoError(f"{error}; {len(jobs)} jobs are there. The hook's log:\n{said}") from error
    failed = [job for job in jobs if job.status != "completed"]
    if failed:
        reasons = Counter(job.last_error.reason if job.last_error else job.status for job in failed)
        raise DemoError(f"{len(failed)} of {len(jobs)} jobs did not complete: {dict(reasons)}")
    console.print(f"{len(jobs)} jobs completed: {events} events and the session's summary.")


def _show_memories(client: Client) -> None:
    memories = client.list_memories(limit=100).memories
    summaries = [memory for memory in memories if memory.kind == "summary"]
    observations = [memory for memory in reversed(memories) if memory.kind != "summary"]
    if not observations or not summaries:
        raise DemoError(f"{len(observations)} observations and {len(summaries)} summaries were made")
    table = Table(title=f"{len(observations)} observations", title_justify="left")
    table.add_column("Kind", style="cyan", no_wrap=True)
    table.add_column("What was learned", overflow="fold")
    for memory in observations:
        table.add_row(Text(memory.kind), Text(_title(memory)))
    console.print(table)
    console.print(Panel(Text(summaries[0].content), title="The session's summary", title_align="left"))


def _show_searches(client: Client) -> None:
    table = Table(title="Searches", title_justify="left")
    table.add_column("Query", style="cyan")
    table.add_column("Score", justify="right")
    table.add_column("Found", overflow="fold")
    for query in QUERIES:
        found = client.search(query, limit=3).observations
        if not found:
            raise DemoError(f"nothing was found for {query!r}")
        for place, memory in enumerate(found):
            score = "" if memory.score is None else f"{memory.score:.2f}"
            table.add_row(Text(query if place == 0 else ""), score, Text(f"{memory.kind}: {_title(memory)}"))
        table.add_section()
    console.print(table)


def _check_redaction(data: Path) -> None:
    for path in filter(Path.is_file, data.rglob("*")):
        content = path.read_bytes()
        if any(secret.encode() in content for secret in SECRETS):
            raise DemoError(f"what should have been redacted is in {path}")
    console.print("The password and the private words of the session are in no file of the server.")


def _title(memory: Observation) -> str:
    title: Any = memory.metadata.get("title")
    return title if isinstance(title, str) and title else memory.content.splitlines()[0]


def _serve(server: Process, url: str) -> None:
    console.print("Serving until Ctrl-C.")
    try:
        wait_until(lambda: not server.is_running, what="the server's end", timeout=float("inf"))
    except KeyboardInterrupt:
        console.print("\nStopping.")
    else:
        raise DemoError(f"the server at {url} ended by itself:\n{server.stderr[-2000:]}")


def _stop(server: Process) -> int:
    code = server.terminate()
    if code:
        raise DemoError(f"the server ended with exit code {code}:\n{server.stderr[-2000:]}")
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
