"""A new operator rolls nobody's pods by accident: the pod templates of known resources are pinned, by their digests.

`python -m tests.unit.operator.test_operator_desired_templates` writes the file anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claude_mem_operator.desired import content_digest, desired
from tests.support.operator_resources import FULL, SHORTEST, Json, elsewhere, inputs, resource

PINNED = Path(__file__).parent / "operator_templates.json"
RESOURCES: dict[str, Json] = {"shortest": SHORTEST, "full": FULL, "elsewhere": elsewhere()}


def digests(spec: Json) -> dict[str, str]:
    """The digest of each pod template; the migration's stands in its name as well."""
    return {
        stage.name: content_digest(manifest["spec"]["template"])
        for stage in desired(inputs(resource(spec)))
        for manifest in stage.manifests
        if "template" in manifest.get("spec", {})
    }


@pytest.mark.parametrize("name", RESOURCES)
def test_an_upgrade_of_the_operator_rolls_no_pods(name: str) -> None:
    assert digests(RESOURCES[name]) == json.loads(PINNED.read_text())[name], (
        "With this change every resource's pods of that component are replaced as soon as the operator is "
        "upgraded: a restart of PostgreSQL is an outage of seconds, and of all resources at once. If the change "
        "is worth that, write the new digests with `python -m tests.unit.operator.test_operator_desired_templates`, "
        "and tell users in CHANGELOG.md which pods roll."
    )


if __name__ == "__main__":
    found = {name: digests(spec) for name, spec in RESOURCES.items()}
    PINNED.write_text(json.dumps(found, indent=2) + "\n")
