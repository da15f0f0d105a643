"""What a session's calls are told once only, what its summary is made from, and in whose mode and language."""

from __future__ import annotations

import orjson
import pytest

from claude_mem.generation.mode import ModeLibrary
from claude_mem.model.errors import NotFound
from claude_mem.model.records import JobStatus
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.projects import ProjectChange
from claude_mem.services.publishing import JobTerms
from claude_mem.services.sessions import SessionInput, SessionService
from claude_mem.services.tenancy import TenancyService
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.engines import asking, ended, job_for, working
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.load import World

pytestmark = pytest.mark.usefixtures("impatient")

AT_ONCE = JobTerms(session_window_us=0, summary_refresh_us=0)
FILE = "\n".join(f"line {number} of a file that is read again" for number in range(30))
OBSERVATION = "<observation><type>change</type><title>Seen {}</title></observation>"
UNTYPED = "<observation><title>Of no type</title></observation>"
SUMMARY = "<summary><request>Fix it</request></summary>"


@pytest.fixture
def job_terms() -> JobTerms:
    return AT_ONCE


@pytest.fixture
async def session(database: Database, world: World) -> str:
    service = SessionService(database, DisabledQueue(), terms=AT_ONCE)
    received = SessionInput(
        world.project_id, content_session_id="talk", metadata={"prompt": "Fix the charge"}
    )
    return (await service.start(world.caller, received)).session.id


async def summed_up(database: Database, world: World, session: str) -> None:
    service = SessionService(database, DisabledQueue(), terms=AT_ONCE)
    done = await service.end(world.caller, session, source="test", source_adapter="server")
    assert (await ended(database, done.job.id)).status is JobStatus.COMPLETED


def reading(number: int) -> dict[str, object]:
    return {"tool_name": "Read", "tool_input": {"n": number}, "tool_response": {"content": FILE}}


@pytest.mark.usefixtures("session")
async def test_a_text_is_sent_again_only_if_nobody_answered_about_it(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    llm.script.extend(
        [Answer(status=400, text="no"), *(Answer(text=OBSERVATION.format(number)) for number in (2, 3))]
    )
    async with working(database, asking(llm)):
        for number in (1, 2, 3):
            name = await job_for(ingest, world, number, content_session_id="talk", payload=reading(number))
            await ended(database, name)
        alone = await job_for(ingest, world, 4, payload=reading(4))
        await ended(database, alone)
    given = ["line 29 of a file" in received.user for received in llm.requests]
    assert given == [True, True, False, True], "the failed call showed nobody anything"
    assert "[the same text as earlier in this session" in llm.requests[2].user


async def test_a_summary_tells_observations_and_events_and_repeats_no_payload(
    database: Database, world: World, ingest: IngestService, session: str, llm: FakeLlm
) -> None:
    llm.script.extend(
        [Answer(text=OBSERVATION.format("once")), Answer(status=400, text="no"), Answer(text=SUMMARY)]
    )
    async with working(database, asking(llm)):
        for number, words in enumerate(("seen before", "without a word"), start=1):
            name = await job_for(
                ingest, world, number, content_session_id="talk", payload={"text": f"{words} {FILE}"}
            )
            await ended(database, name)
        await summed_up(database, world, session)
    told = llm.requests[-1].user
    assert "<user_request>Fix the charge</user_request>" in told
    assert "- change: Seen once" in told
    assert told.count("seen before") == told.count("without a word") == 1
    assert "line 29 of a file" not in told


async def test_a_summary_of_a_session_whose_calls_all_failed_is_made_from_its_events(
    database: Database, world: World, ingest: IngestService, session: str, llm: FakeLlm
) -> None:
    llm.script.extend([Answer(status=400, text="no"), Answer(text=SUMMARY)])
    async with working(database, asking(llm)):
        words = {"last_assistant_message": "The budget was the cause of the failing charge."}
        name = await job_for(
            ingest, world, 1, content_session_id="talk", event_type="assistant_message", payload=words
        )
        assert (await ended(database, name)).status is JobStatus.FAILED
        await summed_up(database, world, session)
    assert "<last_assistant_message>The budget was the cause" in llm.requests[-1].user


async def test_a_language_that_was_set_is_what_the_next_request_asks_for(
    database: Database, world: World, ingest: IngestService, llm: FakeLlm
) -> None:
    projects = TenancyService(database, ModeLibrary())
    in_german = ProjectChange(observing={"language": "de"})
    wanted = [
        (in_german, "in German."),
        (ProjectChange(observing={"language": "French"}), "in French."),
        (ProjectChange(observing={"language": None}), None),
    ]
    async with working(database, asking(llm)) as engine:
        for number, (change, said) in enumerate(wanted):
            await projects.change_project(world.caller, world.project_id, change)
            name = await job_for(ingest, world, number)
            engine.wake()
            await ended(database, name)
            system = llm.requests[-1].system
            assert said in system if said else "Write all text in" not in system
    with pytest.raises(NotFound):
        await projects.change_project(world.caller_of(world.other_team_id), world.project_id, in_german)


@pytest.mark.parametrize(
    ("metadata", "known", "kind", "language"),
    [
        ({"mode": "research", "language": "de"}, "hypothesis", "finding", "in German."),
        ({"mode": "code--fr"}, "bugfix", "bugfix", "in French."),
        ({"mode": "absent"}, "bugfix", "bugfix", None),
        ({"mode": 7, "language": ["de"]}, "bugfix", "bugfix", None),
    ],
)
async def test_a_project_may_have_a_mode_and_a_language_of_its_own(
    storage: Storage,
    database: Database,
    world: World,
    ingest: IngestService,
    llm: FakeLlm,
    *,
    metadata: dict[str, object],
    known: str,
    kind: str,
    language: str | None,
) -> None:
    await storage.query(f"update projects set metadata = '{orjson.dumps(metadata).decode()}'")
    llm.script.append(Answer(text=UNTYPED))
    async with working(database, asking(llm)):
        await ended(database, await job_for(ingest, world, 1))
    system = llm.requests[0].system
    assert known in system
    assert language in system if language else "Write all text in" not in system
    assert await storage.query("select kind from observations") == [(kind,)]
