"""What the resource's models refuse and accept, by the table that a real API server is asked as well."""

from __future__ import annotations

import pytest

from claude_mem_operator.api import ClaudeMemServer, InvalidResource, Model
from claude_mem_operator.api.changes import forbidden_changes
from tests.support.claude_mem_servers import BAD, CHANGES, GOOD, Case, Change, resource


def _models(model: type[Model] = Model) -> set[type[Model]]:
    return {model}.union(*(_models(one) for one in model.__subclasses__()))


def _refusal(case: Case) -> InvalidResource:
    with pytest.raises(InvalidResource) as refused:
        ClaudeMemServer.parse(resource(case.spec, name=case.resource_name))
    return refused.value


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_is_sound_is_taken(case: Case) -> None:
    ClaudeMemServer.parse(resource(case.spec, name=case.resource_name))


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_not_is_refused_by_the_path_to_it(case: Case) -> None:
    (problem,) = _refusal(case).problems
    assert case.path is not None
    assert problem.path.endswith(case.path)
    assert str(problem).startswith(problem.path + ": ")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_are_judged_by_the_path_to_them(change: Change) -> None:
    before, after = (ClaudeMemServer.parse(resource(spec)) for spec in (change.before, change.after))
    found = [problem.path for problem in forbidden_changes(after, before)]
    assert found == ([] if change.path is None else [change.path])


def test_every_rule_is_broken_by_a_case() -> None:
    rules = {rule.message for model in _models() for rule in model.all_rules()}
    told = {problem.message for case in BAD for problem in _refusal(case).problems}
    assert rules - told == set()


def test_every_demand_on_a_change_is_broken_by_a_case() -> None:
    demands = {demand.message for model in _models() for demand in model.all_transitions()}
    told = {
        problem.message
        for change in CHANGES
        for problem in forbidden_changes(
            ClaudeMemServer.parse(resource(change.after)), ClaudeMemServer.parse(resource(change.before))
        )
    }
    assert demands - told == set()
