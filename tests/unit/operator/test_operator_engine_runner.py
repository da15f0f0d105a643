"""When reconciles run: once at a time for a resource, few in all, and not sooner for being woken after a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from claude_mem_operator.engine import runner as runner_module
from claude_mem_operator.engine.backoff import Backoff
from claude_mem_operator.engine.outcome import Outcome
from claude_mem_operator.engine.runner import Runner, asked_of
from claude_mem_operator.kube.errors import NotLeading
from claude_mem_operator.kube.port import ObjectRef
from tests.support.kube_engine import ref_to, resource
from tests.support.kube_memory import MemoryApi

#: Seconds for what takes a moment, on a busy machine.
PATIENCE_S = 120.0


class Recorder:
    """In the place of an engine: counts its runs, and can be held up in the middle of one."""

    def __init__(self, answer: Callable[[ObjectRef], Outcome]) -> None:
        self.answer = answer
        self.runs: list[ObjectRef] = []
        self.at_once = 0
        self.most = 0
        self.doubled = False
        self.gate = threading.Event()
        self.gate.set()
        self._now: set[ObjectRef] = set()
        self._lock = threading.Lock()

    def reconcile(self, ref: ObjectRef) -> Outcome:
        with self._lock:
            self.doubled = self.doubled or ref in self._now
            self._now.add(ref)
            self.runs.append(ref)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.gate.wait(PATIENCE_S)
        with self._lock:
            self.at_once -= 1
            self._now.discard(ref)
        return self.answer(ref)


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any of many things may make it true
            await asyncio.sleep(0.01)


READY = Outcome(result="ready", phase="Ready", references=frozenset({("Secret", "anthropic")}))


async def test_many_wake_ups_are_one_run_and_none_is_lost() -> None:
    recorder = Recorder(lambda _ref: READY)
    runner = Runner(recorder, concurrency=4, resync_s=1000)
    runner.start([])
    recorder.gate.clear()
    runner.wake(ref_to())
    await until(lambda: len(recorder.runs) == 1)
    for _ in range(50):
        runner.wake(ref_to())
    recorder.gate.set()
    await until(lambda: len(recorder.runs) == 2)
    assert not recorder.doubled
    await runner.stop()
    runner.close()


async def test_no_more_run_at_once_than_allowed_and_one_does_not_hold_up_others() -> None:
    recorder = Recorder(lambda _ref: READY)
    runner = Runner(recorder, concurrency=3, resync_s=1000)
    recorder.gate.clear()
    runner.start([ref_to(f"r{number}") for number in range(8)])
    await until(lambda: len(recorder.runs) == 3)
    await until(lambda: runner.queue() == {"waiting": 5, "running": 3})
    recorder.gate.set()
    await until(lambda: len(recorder.runs) == 8)
    await until(lambda: runner.queue() == {"waiting": 0, "running": 0})
    await until(lambda: runner.phases() == {"Ready": 8})
    assert recorder.most == 3
    await runner.stop()
    runner.close()


async def test_without_any_event_a_resource_is_looked_at_again() -> None:
    recorder = Recorder(lambda _ref: READY)
    runner = Runner(recorder, concurrency=1, resync_s=0.05)
    runner.start([ref_to()])
    await until(lambda: len(recorder.runs) >= 3)
    await runner.stop()
    runner.close()


async def test_a_longer_pause_does_not_put_the_resync_off_unless_something_failed() -> None:
    recorder = Recorder(lambda ref: Outcome(result="ready", requeue_s=1000, failed=ref.name == "failed"))
    runner = Runner(recorder, concurrency=1, resync_s=0.05)
    runner.start([ref_to(), ref_to("failed")])
    await until(lambda: recorder.runs.count(ref_to()) >= 3)
    assert recorder.runs.count(ref_to("failed")) == 1
    await runner.stop()
    runner.close()


async def test_after_a_failure_only_a_change_of_the_resource_comes_before_the_pause_is_over() -> None:
    recorder = Recorder(lambda _ref: Outcome(result="failed", requeue_s=1000, failed=True))
    runner = Runner(recorder, concurrency=1, resync_s=1)
    runner.start([ref_to()])
    await until(lambda: len(recorder.runs) == 1)
    other = ref_to("other")
    runner.wake(ref_to())
    runner.wake(other)
    await until(lambda: other in recorder.runs)
    assert recorder.runs.count(ref_to()) == 1
    runner.wake(ref_to(), asked="generation 2")
    await until(lambda: recorder.runs.count(ref_to()) == 2)
    runner.wake(ref_to(), asked="generation 2")  # the operator's own status was told of
    runner.wake(other, asked="generation 2")
    await until(lambda: recorder.runs.count(other) == 2)
    assert recorder.runs.count(ref_to()) == 2
    await runner.stop()
    runner.close()


async def test_a_secret_wakes_those_who_refer_to_it() -> None:
    recorder = Recorder(
        lambda ref: READY if ref.name == "a" else Outcome(result="ready", references=frozenset())
    )
    runner = Runner(recorder, concurrency=2, resync_s=1000)
    runner.start([ref_to("a"), ref_to("b")])
    await until(lambda: len(recorder.runs) == 2)
    # Both have told by then what they refer to; of one that has not, nobody knows whether it is to be woken.
    await until(lambda: runner.queue() == {"waiting": 0, "running": 0})
    assert runner.phases() == {"Ready": 1, "Pending": 1}
    runner.wake_referring("team", "Secret", "anthropic")
    await until(lambda: len(recorder.runs) == 3)
    assert recorder.runs[-1] == ref_to("a")
    await runner.stop()
    runner.close()


def test_what_the_operator_writes_itself_is_no_change_of_what_is_asked_for() -> None:
    api = MemoryApi()
    before = api.create(resource())
    asked = asked_of(before, gone=False)
    api.patch(ref_to(), {"metadata": {"finalizers": ["claude-mem.dev/cleanup"]}})
    assert asked_of(api.patch_status(ref_to(), {"phase": "Failed"}), gone=False) == asked
    for change in (
        {"metadata": {"annotations": {"claude-mem.dev/retry": "1"}}},
        {"spec": {"paused": True}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ):
        now = asked_of(api.patch(ref_to(), change), gone=False)
        assert now != asked
        asked = now
    assert asked_of(api.objects[ref_to()], gone=True) != asked


async def test_after_a_failure_a_secret_that_is_referred_to_ends_the_pause_and_no_other_does() -> None:
    outcomes = [
        Outcome(
            result="problem", requeue_s=1000, failed=True, references=frozenset({("Secret", "anthropic")})
        ),
        Outcome(result="failed", requeue_s=1000, failed=True),
    ]
    recorder = Recorder(lambda ref: outcomes[min(1, recorder.runs.count(ref) - 1)])
    runner = Runner(recorder, concurrency=1, resync_s=1000)
    runner.start([ref_to()])
    await until(lambda: len(recorder.runs) == 1)
    for times in (2, 3):  # an outcome that does not know the references leaves those that were known
        runner.wake_referring("team", "Secret", "another")
        runner.wake_referring("elsewhere", "Secret", "anthropic")
        other = ref_to(f"other-{times}")
        runner.wake(other)
        await until(lambda: other in recorder.runs)  # noqa: B023 - awaited here
        assert recorder.runs.count(ref_to()) == times - 1
        runner.wake_referring("team", "Secret", "anthropic")
        await until(lambda: recorder.runs.count(ref_to()) == times)  # noqa: B023
    await runner.stop()
    runner.close()


async def test_one_that_is_gone_is_forgotten_and_may_come_back() -> None:
    recorder = Recorder(lambda _ref: Outcome(result="gone"))
    runner = Runner(recorder, concurrency=1, resync_s=1000)
    runner.start([ref_to()])
    await until(lambda: len(recorder.runs) == 1 and runner.phases() == {})
    runner.wake(ref_to())
    await until(lambda: len(recorder.runs) == 2)
    await runner.stop()
    runner.close()


async def test_who_does_not_lead_runs_nothing() -> None:
    recorder = Recorder(lambda _ref: READY)
    runner = Runner(recorder, concurrency=1, resync_s=0.01)
    runner.wake(ref_to())
    runner.start([ref_to()])
    await until(lambda: len(recorder.runs) > 2)
    await runner.stop()
    runner.wake(ref_to())
    # A run that was on its way to its thread may still come; nobody looks after the resource any more.
    assert runner.phases() == {}
    assert runner.queue() == {"waiting": 0, "running": 0}
    runner.close()


async def test_a_lease_that_lapsed_and_is_held_again_costs_a_pause() -> None:
    def lapsed(_ref: ObjectRef) -> Outcome:
        if len(recorder.runs) == 1:
            raise NotLeading
        return READY

    recorder = Recorder(lapsed)
    results: list[str] = []
    runner = Runner(
        recorder, concurrency=1, resync_s=1000, observe=lambda result, _seconds: results.append(result)
    )
    runner.start([ref_to()])
    await until(lambda: results == ["not-leading", "ready"])
    await runner.stop()
    runner.close()


async def test_a_task_that_ends_by_a_defect_is_told_of_and_begun_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "RESTART_S", 0.01)
    password = "".join(("hunter", "2"))

    def broken(ref: ObjectRef) -> Outcome:
        if ref.name == "bad" and recorder.runs.count(ref) == 1:
            raise TypeError(password)
        return READY

    recorder = Recorder(broken)
    results: list[str] = []
    runner = Runner(
        recorder, concurrency=2, resync_s=1000, observe=lambda result, _seconds: results.append(result)
    )
    runner.start([ref_to("bad"), ref_to("good")])
    await until(lambda: sorted(results) == ["error", "ready", "ready"])
    await until(lambda: runner.phases() == {"Ready": 2})
    assert "looking after ClaudeMemServer team/bad" in caplog.text
    assert "TypeError" in caplog.text
    assert password not in caplog.text
    runner.wake(ref_to("bad"))
    await until(lambda: recorder.runs.count(ref_to("bad")) == 3)
    await runner.stop()
    runner.close()


async def test_a_defect_after_the_end_of_acting_begins_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def break_down(_result: str, _seconds: float) -> None:
        raise TypeError

    recorder = Recorder(lambda _ref: READY)
    runner = Runner(recorder, concurrency=1, resync_s=1000, observe=break_down)
    runner.start([ref_to()])
    recorder.gate.clear()
    await until(lambda: len(recorder.runs) == 1)
    await runner.stop()
    recorder.gate.set()
    assert "TypeError" in caplog.text
    assert runner.phases() == {}
    runner.close()


@pytest.mark.parametrize("random", [0.0, 0.5, 1.0])
def test_pauses_double_up_to_five_minutes_and_begin_anew(random: float) -> None:
    backoff = Backoff(lambda: random)
    pauses = [backoff.failed(generation=1) for _ in range(15)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 1.21
    assert 240 <= pauses[-1] <= 300
    assert backoff.failed(generation=2) <= 1.21
    backoff.failed(generation=2)
    backoff.succeeded()
    assert backoff.failed(generation=2) <= 1.21
    assert backoff.failed(generation=2, at_least=77) == 77
