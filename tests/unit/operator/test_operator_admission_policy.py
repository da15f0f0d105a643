"""The admission policy as a document; what it refuses is asked of a real API server in tests/cluster."""

from __future__ import annotations

from claude_mem_operator.admission.policy import policy_spec
from tests.support.claude_mem_servers import POLICY_REFUSES


def test_every_demand_of_the_policy_is_broken_by_a_case() -> None:
    demands = {
        (rule["message"].split(".")[1], rule["expression"].split("'")[1])
        for rule in policy_spec()["validations"]
    }
    assert demands == {(component, name) for component, name, _ in POLICY_REFUSES}


def test_messages_name_the_block_and_the_remedy() -> None:
    for rule in policy_spec()["validations"]:
        assert rule["message"].startswith(("spec.server.env: ", "spec.worker.env: "))
        assert rule["message"].endswith(".")
        assert "{" not in rule["message"]
