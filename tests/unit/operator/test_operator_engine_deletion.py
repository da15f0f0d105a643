"""What is kept, taken over and let go of, against an API server in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from claude_mem_operator.engine.deletion import FINALIZER
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import Invalid, NamespaceTerminating, Unavailable
from claude_mem_operator.kube.kinds import EVENT, SECRET, SERVICE_ACCOUNT
from claude_mem_operator.kube.kinds import NAMESPACE as NAMESPACE_KIND
from claude_mem_operator.kube.port import ObjectRef
from tests.support.kube_engine import NAMESPACE, condition, converge, engine, ref_to, resource
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import CLAIM, CREDENTIALS, REF, change, claim, events, status


def test_deleted_it_keeps_volume_and_credentials_and_a_new_one_takes_them_over(
    api: MemoryApi, running: Engine
) -> None:
    api.create(claim("10Gi"))
    data = api.objects[CREDENTIALS]["data"]
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    kept = {ref for ref in api.objects if ref.kind not in (EVENT, NAMESPACE_KIND)}
    assert kept == {CREDENTIALS, CLAIM, ObjectRef(SECRET, NAMESPACE, "anthropic")}
    assert "Retained" in events(api)
    api.create(resource())
    again = engine(api, new_secret=lambda kind: f"another-{kind}")
    assert converge(again, REF, settle=api.settle).result == "ready"
    assert api.objects[CREDENTIALS]["data"]["password"] == data["password"]


def test_whoever_awaits_what_was_read_is_told_when_the_resource_is_gone(api: MemoryApi) -> None:
    read: dict[str, int] = {}
    running = engine(api, on_read=lambda uid, objects: read.update({uid: len(list(objects))}))
    converge(running, REF, settle=api.settle)
    uid = api.objects[REF]["metadata"]["uid"]
    assert read[uid] > 1
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    assert read == {uid: 0}


def test_what_another_resource_retains_is_not_taken_while_it_lives(api: MemoryApi, running: Engine) -> None:
    before = api.get(CREDENTIALS)
    api.create(resource("second", bootstrap={"apiKeySecretName": CREDENTIALS.name}))
    assert running.reconcile(ref_to("second")).result == "problem"
    told = condition(api.objects[ref_to("second")]["status"], "Ready")
    assert told["reason"] == "NameConflict"
    assert api.get(CREDENTIALS) == before


def test_made_again_at_once_it_waits_for_the_end_of_the_earlier_ones_children(
    api: MemoryApi, running: Engine
) -> None:
    account = ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory")
    earlier = api.objects[account]
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    api.objects[account] = earlier  # garbage collection is behind
    api.create(resource())
    outcome = running.reconcile(REF)
    assert (outcome.result, outcome.failed) == ("progressing", False)
    told = condition(status(api), "Progressing")
    assert told["reason"] == "Waiting"
    assert "ServiceAccount memory of an earlier resource" in told["message"]
    assert "NameConflict" not in events(api)
    assert api.objects[account] == earlier
    api.delete(account)
    assert converge(running, REF, settle=api.settle).result == "ready"


def test_deleted_with_the_policy_delete_it_leaves_nothing(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    change(api, deletionPolicy="Delete")
    converge(running, REF, settle=api.settle)
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    kept = {ref for ref in api.objects if ref.kind not in (EVENT, NAMESPACE_KIND)}
    assert kept == {ObjectRef(SECRET, NAMESPACE, "anthropic")}


def test_deletion_is_given_up_after_a_minute_and_says_so(api: MemoryApi) -> None:
    change(api, deletionPolicy="Delete")
    time = datetime(2026, 1, 1, tzinfo=UTC)
    running = engine(api, now=lambda: time)
    converge(running, REF, settle=api.settle)
    api.create(claim("10Gi"))
    api.delete(REF)

    def fail(_verb: str, ref: ObjectRef) -> None:
        if ref == CLAIM:
            raise Unavailable("away")

    api.before_write = fail
    time += timedelta(seconds=30)
    assert running.reconcile(REF).result == "failed"
    assert REF in api.objects
    assert {condition(status(api), name)["reason"] for name in ("Ready", "Progressing")} == {"Deleting"}
    assert status(api)["phase"] == "Deleting"
    time += timedelta(seconds=31)
    running.reconcile(REF)
    assert REF not in api.objects
    assert "Released" in events(api)


def test_a_status_that_cannot_be_written_holds_no_deletion_up(api: MemoryApi, running: Engine) -> None:
    def refuse(verb: str, _ref: ObjectRef) -> None:
        if verb == "patch status":
            raise Invalid("the stored status breaks a rule")

    api.before_write = refuse
    api.delete(REF)
    assert converge(running, REF).result == "gone"


def test_in_a_namespace_that_goes_nothing_is_made_and_nothing_held(api: MemoryApi, running: Engine) -> None:
    namespace = ObjectRef(NAMESPACE_KIND, None, NAMESPACE)
    api.objects[namespace]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    change(api, deletionPolicy="Delete")
    api.delete(REF)
    api.writes.clear()
    running.reconcile(REF)
    assert REF not in api.objects
    assert {verb for verb, ref in api.writes if ref.kind.kind not in {"ClaudeMemServer"}} == set()


def test_a_refused_creation_in_a_namespace_that_goes_ends_quietly(api: MemoryApi) -> None:
    def refuse(_verb: str, ref: ObjectRef) -> None:
        if ref != REF:
            raise NamespaceTerminating("it is being terminated")

    api.before_write = refuse
    assert engine(api).reconcile(REF).result == "deleting"


def test_the_finalizer_comes_before_any_child(api: MemoryApi) -> None:
    first: list[list[str]] = []

    def look(_verb: str, ref: ObjectRef) -> None:
        if ref != REF and not first:
            first.append(api.objects[REF]["metadata"].get("finalizers", []))

    api.before_write = look
    engine(api).reconcile(REF)
    assert first == [[FINALIZER]]
