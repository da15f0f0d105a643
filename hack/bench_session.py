"""What the recorded session costs: its provider calls and their tokens beside those of one call for each event.

The session is replayed by the program that a coding agent's hooks call, as fast as that goes. The provider answers
every event of a prompt with an observation that names it, so that it can be told which events reached it; those are as
long as real ones, for the summaries are made from them. `python -m hack.bench_session` takes this measurement alone.

An event matters if somebody who takes the work over would miss it; these were chosen by hand, each with words that
carry what it says. It is covered if those words stand in a prompt under the event's own number, and an observation
that was made from it, and from no other, is linked to it. Looking around (`ls`, `pwd`, globs, the state of the
repository), to-do lists and the push are the events that do not matter.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from claude_mem.generation.elements import estimate_tokens
from claude_mem.generation.mode import ModeLibrary
from claude_mem.generation.port import EventInput, GenerationRequest
from claude_mem.generation.prompts import build_prompt
from hack.bench_stage import PROGRAM, Stage
from tests.support.fake_llm import Answer, FakeLlm, Received
from tests.support.processes import wait_until

SESSION = Path(__file__).parents[1] / "examples" / "session" / "hooks.jsonl"
#: The last digits of a tool call's id, or the first words of an answer, and the words that carry what it says.
MATTERS = {
    "0004": "orders/shipping.py:31:",
    "0005": "random.uniform(0.5, 3.0)",
    "0006": "class PaymentClient",
    "0007": "class FlakyTransport",
    "0009": "8 1 failed",
    "0010": "test_charge_is_retried_on_timeout",
    "0011": "Spread payment retries with more jitter",
    "0012": "21.7 % of the runs need more than the budget",
    "0014": "Every charge goes through",
    "0015": "ORDERS_ENV=development",
    "0016": "Idempotency-Key",
    "0017": "0.28.1",
    "I found the cause": "widened the jitter",
    "0018": "A clock that moves only when somebody sleeps",
    "0019": "carries_the_same_idempotency_key",
    "0020": "unexpected keyword argument 'jitter'",
    "0021": "monotonic",
    "0022": "2 passed",
    "0023": 'f"charge-{uuid.uuid4()}"',
    "0024": "34 passed",
    "0025": "200 4 passed",
    "0026": "FlakyTransport",
    "0027": "All checks passed!",
    "0029": "orders/metrics.py:14",
    "0030": "label_with_timing",
    "0031": "started = time.monotonic()",
    "0032": "time.monotonic() - started",
    "0033": "5 passed",
    "Both are fixed": "200 runs of the payment tests passed",
    "0035": "One idempotency key per charge",
    "0036": "d94b7e1",
    "Recorded as": "One follow-up is left",
}
SENTENCE = "What was found here is told in a sentence of the usual length, with a name or two in it. "
OBSERVATION = (
    "<observation><type>discovery</type><title>{title}</title>"
    f"<subtitle>{SENTENCE}</subtitle><facts><fact>{SENTENCE}</fact><fact>{SENTENCE}</fact></facts>"
    f"<narrative>{3 * SENTENCE}</narrative>{{source}}</observation>"
)
SUMMARY = (
    f"<summary><request>{SENTENCE}</request><investigated>{2 * SENTENCE}</investigated>"
    f"<learned>{2 * SENTENCE}</learned><completed>{3 * SENTENCE}</completed>"
    f"<next_steps>{SENTENCE}</next_steps><notes></notes></summary>"
)
SHARE_TARGET = 0.25
_ELEMENT = re.compile(r"<agent_event>\n(.*?)\n</agent_event>", re.DOTALL)
_NUMBER = re.compile(r"<number>(\d+)</number>")
_EVENTS = (
    "SELECT e.id, e.source_event_id, e.event_type, e.source_adapter, e.payload::text AS payload,"
    " e.project_id, p.name AS project_name, e.team_id, e.server_session_id, j.status,"
    " ARRAY(SELECT o.metadata->>'title' FROM observation_sources AS s JOIN observations AS o ON o.id = s.observation_id"
    " WHERE s.agent_event_id = e.id) AS titles"
    " FROM agent_events AS e JOIN observation_generation_jobs AS j ON j.agent_event_id = e.id"
    " JOIN projects AS p ON p.id = e.project_id"
    " WHERE e.server_session_id IS NOT NULL"
)


class Observer:
    """The provider: makes an observation of each event, and remembers by its title what it saw."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def answer(self, received: Received) -> Answer:
        """An observation for each event of a prompt, or a summary."""
        if _is_summary(received):
            return Answer(text=SUMMARY)
        made = []
        for element in _ELEMENT.findall(received.user):
            number = _NUMBER.search(element)
            title = f"Finding {len(self.seen) + 1} of the session, in the words of a title"
            self.seen[title] = html.unescape(element)
            source = f"<source_events>{number.group(1)}</source_events>" if number else ""
            made.append(OBSERVATION.format(title=title, source=source))
        return Answer(text="".join(made))


def main() -> int:
    """Measure, print as JSON, and return 1 when a target is missed."""
    with ExitStack() as stack:
        session = asyncio.run(measure(Stage(stack)))
    print(json.dumps(session, indent=2))
    kept = max(session["callShare"], session["tokenShare"]) <= SHARE_TARGET
    return 0 if kept and not session["missed"] else 1


async def measure(stage: Stage) -> dict[str, Any]:
    """Replay the session into a worker and return what that cost, and the events that matter and were not covered.

    The shares are those of calls and input tokens in one call per event, summaries included; `...OfEvents` without.
    """
    observer = Observer()
    async with FakeLlm(observer.answer) as llm:
        await asyncio.to_thread(_replay, stage, llm)
        asked = list(llm.requests)
    found = await asyncio.to_thread(stage.rows, _EVENTS)
    calls = [_tokens(received) for received in asked if not _is_summary(received)]
    summaries = [_tokens(received) for received in asked if _is_summary(received)]
    alone = sum(map(_alone, found))
    return {
        "events": len(found),
        "calls": len(calls),
        "inputTokens": sum(calls),
        "inputTokensOfOneCallPerEvent": alone,
        "summaryCalls": len(summaries),
        "summaryInputTokens": sum(summaries),
        "callShare": (len(calls) + len(summaries)) / len(found),
        "tokenShare": (sum(calls) + sum(summaries)) / alone,
        "callShareOfEvents": len(calls) / len(found),
        "tokenShareOfEvents": sum(calls) / alone,
        "matter": len(MATTERS),
        "missed": [name for name, words in MATTERS.items() if not _covers(found, name, words, observer)],
    }


def _replay(stage: Stage, llm: FakeLlm) -> None:
    with stage.worker(f"{llm.url}/v1"):
        llm.requests.clear()  # those of the warm-up
        for line in SESSION.read_text(encoding="utf-8").splitlines():
            stage.output(PROGRAM, "hook", given=line)
        done = (
            "SELECT count(*) FILTER (WHERE source_type = 'session_summary') > 0"
            " AND bool_and(status NOT IN ('queued', 'processing')) FROM observation_generation_jobs"
        )
        wait_until(lambda: stage.rows(done)[0][0], what="the jobs of the recorded session", timeout=60)


def _is_summary(received: Received) -> bool:
    return "<investigated>" in received.system


def _tokens(received: Received) -> int:
    return estimate_tokens(received.system) + estimate_tokens(received.user)


def _covers(found: Sequence[Any], name: str, words: str, observer: Observer) -> bool:
    """Whether an event that matters was seen with its words, and has an observation that is its own."""
    (row,) = (
        row
        for row in found
        if row["source_event_id"].endswith(name)
        or str(json.loads(row["payload"]).get("last_assistant_message", "")).startswith(name)
    )
    own = [title for title in row["titles"] if sum(title in other["titles"] for other in found) == 1]
    return row["status"] == "completed" and any(words in observer.seen[title] for title in own)


def _alone(row: Any) -> int:
    """Tokens of the prompt that an event would have if it had a call of its own."""
    event = EventInput(
        id=row["id"],
        event_type=row["event_type"],
        source_adapter=row["source_adapter"],
        occurred_at_ms=1_767_225_600_000,
        payload=json.loads(row["payload"]),
    )
    request = GenerationRequest(
        kind="event",
        job_id=row["id"],
        project_id=row["project_id"],
        team_id=row["team_id"],
        events=(event,),
        mode=ModeLibrary([]).load("code"),
        project_name=row["project_name"],
        server_session_id=row["server_session_id"],
    )
    return build_prompt(request).tokens


if __name__ == "__main__":
    sys.exit(main())
