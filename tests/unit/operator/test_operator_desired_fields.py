"""Every field of the resource reaches a child, and no child that has nothing to do with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any, Literal, get_args, get_origin

import pytest

from claude_mem_operator.api import ClaudeMemServer, ClaudeMemServerSpec, InvalidResource, Model
from claude_mem_operator.desired import Stage, desired
from tests.support.operator_resources import FULL, Json, elsewhere, inputs, resource

BASES = {"managed": FULL, "elsewhere": elsewhere()}

#: Fields that no child shows, and who heeds them.
HEEDED_BY_THE_ENGINE = {"paused"}

#: Which pods a field rolls, by the longest prefix of its path; what is not named rolls none. Postgres and Valkey stand
#: for their StatefulSets, the others for their Deployments and the Job.
RUNTIME = {"migration", "server", "worker"}
ROLLS: dict[str, set[str]] = {
    "image": RUNTIME,
    "imagePullPolicy": RUNTIME,
    "imagePullSecrets": {"postgres", "valkey"} | RUNTIME,
    "provider": {"worker"},
    "bootstrap": {"migration"},
    "postgres.managed": {"postgres"},
    "postgres.managed.storage": set(),
    "postgres.managed.storageClassName": set(),
    "postgres.external": RUNTIME,
    "valkey.managed": {"valkey"},
    "valkey.managed.storage": set(),
    "valkey.managed.storageClassName": set(),
    "valkey.external": {"server", "worker"},
    "server": {"server"},
    "server.replicas": set(),
    "server.podDisruptionBudget": set(),
    "server.service": set(),
    "server.ingress": set(),
    "server.httpRoute": set(),
    "server.nodeSelector": {"migration", "server"},
    "server.tolerations": {"migration", "server"},
    "server.priorityClassName": {"migration", "server"},
    "worker": {"worker"},
    "worker.replicas": set(),
    "worker.podDisruptionBudget": set(),
    "worker.autoscaling": set(),
    "auth": {"server"},
    "budgets": {"server"},
    "budgets.dailyTokens": {"server", "worker"},
    "generation": {"worker"},
    "log": {"server", "worker"},
    # PostgreSQL's memory is its own; a claim's class and size are in its template.
    "networkPolicy": set(),
    "monitoring": set(),
    "deletionPolicy": set(),
}

#: Other values of a field that are tried.
MUTATIONS = 2

Path = tuple[str | int, ...]


def dotted(path: Path) -> str:
    return ".".join(str(part) for part in path if isinstance(part, str))


def models_in(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def literals_in(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    for argument in get_args(annotation):
        yield from literals_in(argument)


def declared(model: type[Model], path: Path = ()) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Each field that holds no further model, with the values it is limited to, if it is."""
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        inner = list(models_in(field.annotation))
        if not inner:
            yield dotted(here), tuple(literals_in(field.annotation))
        for part in inner:
            yield from declared(part, here)


def is_part(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def leaves(value: Any, names: set[str], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each field that is set in a spec, with its path and its value."""
    if dotted(path) in names:
        yield path, value
    elif is_part(value):
        for index, entry in enumerate(value):
            yield from leaves(entry, names, (*path, index))
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from leaves(entry, names, (*path, name))


FIELDS = dict(declared(ClaudeMemServerSpec))
SPECS = {name: resource(base).spec.manifest() for name, base in BASES.items()}


def others(value: Any, choices: tuple[Any, ...]) -> Iterator[Any]:
    """Values in the place of one, of which some may not be valid."""
    yield from (choice for choice in choices if choice != value)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        yield from (f"{value}x", "1h", "3", "30Gi", "9%", "10.2.0.0/16", "openrouter", "https://b.example")
    elif isinstance(value, dict):
        yield {**value, "added": "more"}
        yield {**value, "cpu": "250m"}
    elif isinstance(value, list):
        entries = value or [""]
        yield from ([*value[:-1], other] for other in others(entries[-1], ()))
        yield [*value, "more"]


def with_value(spec: Json, path: Path, value: Any) -> Json:
    changed = copy.deepcopy(spec)
    place: Any = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return changed


def mutations(spec: Json, path: Path, value: Any) -> Iterator[ClaudeMemServer]:
    """The resource with other values in the place of one, as far as they are valid."""
    for other in others(value, FIELDS[dotted(path)]):
        with suppress(InvalidResource):
            yield resource(with_value(spec, path, other))


def rendered(stages: tuple[Stage, ...]) -> str:
    return json.dumps([[stage.manifests, repr((stage.scale, stage.claims))] for stage in stages])


def templates(stages: tuple[Stage, ...]) -> dict[str, Any]:
    """Pod templates, by component."""
    return {
        manifest["metadata"]["labels"]["app.kubernetes.io/component"]: manifest["spec"]["template"]
        for stage in stages
        for manifest in stage.manifests
        if "template" in manifest.get("spec", {})
    }


def rolled(before: tuple[Stage, ...], after: tuple[Stage, ...]) -> set[str]:
    """The components whose pods are replaced or taken away."""
    old, new = templates(before), templates(after)
    return {component for component in old if old[component] != new.get(component)}


def expected_to_roll(path: Path) -> set[str]:
    name = dotted(path)
    prefixes = [prefix for prefix in ROLLS if name == prefix or name.startswith(prefix + ".")]
    return ROLLS[max(prefixes, key=len)] if prefixes else set()


def test_the_bases_set_every_field() -> None:
    found = {dotted(path) for spec in BASES.values() for path, _ in leaves(spec, set(FIELDS))}
    assert set(FIELDS) - found == set(), "set these in tests/support/operator_resources.py"


@cache
def children(base: str) -> tuple[Stage, ...]:
    return desired(inputs(resource(SPECS[base])))


@pytest.mark.parametrize("name", sorted(set(FIELDS) - HEEDED_BY_THE_ENGINE))
def test_a_field_reaches_its_children_and_a_revert_restores_them(name: str) -> None:
    shown = False
    for base, spec in SPECS.items():
        before = children(base)
        for path, value in leaves(spec, {name}):
            for changed in islice(mutations(spec, path, value), MUTATIONS):
                after = desired(inputs(changed))
                assert rolled(before, after) <= expected_to_roll(path), changed
                if rendered(after) == rendered(before):
                    continue
                shown = True
                reverted = with_value(changed.spec.manifest(), path, value)
                assert rendered(desired(inputs(resource(reverted)))) == rendered(before)
    assert shown, "no child shows a change of this field"


def test_what_is_left_out_leaves_no_trace() -> None:
    """The optional parts, turned on and off again, are as in a resource that never had them."""
    shortest = resource().spec.manifest()
    for name, part in FULL.items():
        if name in {"provider", "postgres", "paused"}:
            continue
        with_it = rendered(desired(inputs(resource({**shortest, name: part}))))
        without = {key: value for key, value in shortest.items() if key != name}
        assert rendered(desired(inputs(resource(without)))) == rendered(desired(inputs()))
        assert with_it != rendered(desired(inputs())), name
