"""Values without meaning, hidden ones, and secrets in the wrong place: what is told of them, and what never is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.environment import Role, check
from claude_mem.environment.catalogue import NAMES, UNREAD, VARIABLES
from tests.support.environments import BASES, EVERYWHERE, Place, judge


@given(
    name=st.sampled_from(sorted(NAMES | set(UNREAD))),
    blank=st.text(alphabet=" \t\r\n\v\f\u00a0\u2003", max_size=5),
    place=st.sampled_from(EVERYWHERE),
)
def test_blank_equals_unset(name: str, blank: str, place: Place) -> None:
    base = {**BASES[place]}
    base.pop(name, None)
    role = Role(place[0])
    unset = check(base, role=role, container=place[1])
    assert check({**base, name: blank}, role=role, container=place[1]) == unset


@given(
    name=st.sampled_from(sorted(NAMES)),
    value=st.text(min_size=1, max_size=80),
    place=st.sampled_from(EVERYWHERE),
)
def test_any_value_gets_a_verdict_of_whole_lines(name: str, value: str, place: Place) -> None:
    verdict = check({**BASES[place], name: value}, role=Role(place[0]), container=place[1])
    lines = verdict.render().splitlines()
    assert len(lines) == 1 + len(verdict.errors)
    for problem in verdict.warnings:
        assert len(str(problem).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLAUDE_MEM_SERVER_PORT", "http"),
        ("CLAUDE_MEM_SERVER_PORT", "70000"),
        ("CLAUDE_MEM_POSTGRES_POOL_MAX", "0"),
        ("CLAUDE_MEM_POSTGRES_STATEMENT_TIMEOUT_MS", "-1"),
        ("CLAUDE_MEM_RATE_LIMIT_PER_MIN", "NaN"),
        ("CLAUDE_MEM_MONTHLY_TOKEN_CAP", "1_000"),
        ("CLAUDE_MEM_MONTHLY_REQUEST_CAP", "-5"),
        ("CLAUDE_MEM_DAILY_TOKEN_BUDGET", "lots"),
        ("CLAUDE_MEM_JOB_LEASE_SECONDS", "inf"),
        ("CLAUDE_MEM_USAGE_METERING", "yes"),
        ("CLAUDE_MEM_DOCKER", "yes"),
        ("CLAUDE_MEM_LOG_LEVEL", "LOUD"),
        ("CLAUDE_MEM_PUBLIC_URL", "memory.example.com"),
        ("CLAUDE_MEM_CORS_ORIGINS", "https://a.example.com/path"),
        ("CLAUDE_MEM_QUEUE_REDIS_PREFIX", "{x}"),
        ("CLAUDE_MEM_MODE", "../code"),
        ("CLAUDE_MEM_DATA_DIR", "~nobody-of-this-name/x"),
        ("CLAUDE_MEM_RATE_LIMIT_PER_MIN", "1e300"),
    ],
)
def test_a_meaningless_value_is_only_warned_of(name: str, value: str) -> None:
    verdict = check({name: value}, role=Role.SERVER, container=False)
    assert verdict.ok
    assert [problem.variable for problem in verdict.warnings] == [name]
    assert "default" in verdict.warnings[0].remedy


@pytest.mark.parametrize("name", UNREAD)
def test_a_variable_of_old_that_is_not_read_is_warned_of(name: str) -> None:
    verdict = check({name: "x"}, role=Role.SERVER, container=False)
    assert [str(problem) for problem in verdict.warnings] == [f"{name} is not read. {UNREAD[name]}"]


def test_a_warning_gives_way_to_an_error_about_the_same_variable() -> None:
    verdict = judge({"CLAUDE_MEM_GENERATION_DISABLED": "yes"}, ("server", True))
    assert [problem.rule for problem in verdict.errors] == ["generation-disabled"]
    assert verdict.warnings == ()


SECRET = "tOpSeCrEt99"  # the text no message may hold


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{SECRET}@host/db",
        f"postgres://user:{SECRET}@host:port/db",
        f"postgres://user:{SECRET}/{SECRET}@host/db",
        f"postgres://user:1/{SECRET}@host/db",
        f"postgres://user:1?{SECRET}@host/db",
        f"postgres://user:a#{SECRET}@host/db",
        f"postgres://user:a@{SECRET}@host/db",
        f"postgres://user:a {SECRET}@host/db",
        f"postgres://{SECRET}@host/db?sslmode=maybe",
        f"postgres://host/db?password={SECRET}&sslmode=maybe",
        f"host/db user {SECRET}",
        f"http://:{SECRET}@host",
        f"redis://:{SECRET}@host/x",
    ],
)
@pytest.mark.parametrize(
    "name", ["CLAUDE_MEM_SERVER_DATABASE_URL", "CLAUDE_MEM_REDIS_URL", "CLAUDE_MEM_ANTHROPIC_BASE_URL"]
)
def test_no_password_is_told(name: str, url: str) -> None:
    verdict = judge({name: url}, ("worker", False))
    told = verdict.model_dump_json() + verdict.render()
    assert SECRET not in told
    if name != "CLAUDE_MEM_ANTHROPIC_BASE_URL":
        assert not verdict.ok


@pytest.mark.parametrize(
    "name",
    [name for variable in VARIABLES if not variable.sensitive for name in variable.names],
)
def test_no_key_in_the_wrong_variable_is_told(name: str) -> None:
    key = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    for place in EVERYWHERE:
        verdict = judge({name: key}, place)
        assert key[6:] not in verdict.model_dump_json() + verdict.render()


def test_opaque_variables_count_as_set_and_are_not_judged() -> None:
    shown = {"CLAUDE_MEM_RUNTIME": "server", "CLAUDE_MEM_SERVER_PROVIDER": "claude"}
    hidden = [
        "CLAUDE_MEM_SERVER_DATABASE_URL",
        "CLAUDE_MEM_REDIS_URL",
        "CLAUDE_MEM_QUEUE_ENGINE",
        "CLAUDE_MEM_ANTHROPIC_API_KEY",
    ]
    verdict = check(shown, role=Role.WORKER, container=True, opaque=hidden)
    assert verdict.ok, verdict.render()
    assert verdict.warnings == ()
    assert (verdict.provider, verdict.has_database, verdict.has_redis) == ("claude", True, True)
    assert not check(shown, role=Role.WORKER, container=True, opaque=hidden[1:]).ok
    everything = check({}, role=Role.WORKER, container=True, opaque=NAMES)
    assert everything.ok, everything.render()


def test_the_verdict_as_json_is_in_camel_case() -> None:
    told = json.loads(check({}, role=Role.SERVER, container=True).model_dump_json())
    assert told["ok"] is False
    assert told["queueEngine"] == "disabled"
    assert set(told["errors"][0]) == {"rule", "variable", "value", "message", "remedy"}


def test_it_needs_pydantic_and_nothing_else_of_ours() -> None:
    """The operator imports these rules, and must not get the runtime with them."""
    script = (
        "import sys; before = set(sys.modules); import claude_mem.environment; "
        "print('\\n'.join(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    packages = {name.split(".")[0] for name in loaded.split()}
    allowed = {
        "claude_mem",
        "pydantic",
        "pydantic_core",
        "annotated_types",
        "typing_extensions",
        "typing_inspection",
    }
    foreign = packages - allowed - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_sysconfigdata")} == set()
    ours = {name for name in loaded.split() if name.startswith("claude_mem.")}
    assert all(name.startswith("claude_mem.environment") for name in ours)
