"""What a deleted resource leaves is found by the label that the documents give."""

from __future__ import annotations

import re
from pathlib import Path

from claude_mem_operator.desired import desired
from tests.support.operator_resources import inputs

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "uninstall-operator.md"


def test_the_page_on_uninstalling_lists_claims_and_credentials() -> None:
    asked = re.search(
        r"^kubectl get persistentvolumeclaims,secrets .* -l (\S+)=(\S+)$", PAGE.read_text(), re.M
    )
    assert asked is not None
    name, value = asked.groups()
    manifests = [one for stage in desired(inputs()) for one in stage.manifests]
    claims = [
        claim["metadata"]
        for one in manifests
        if one["kind"] == "StatefulSet"
        for claim in one["spec"]["volumeClaimTemplates"]
    ]
    secrets = [one["metadata"] for one in manifests if one["kind"] == "Secret"]
    assert len(claims) == 2
    assert len(secrets) == 3
    assert all(metadata["labels"][name] == value for metadata in (*claims, *secrets))
