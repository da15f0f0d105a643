"""How retention rules and what they remove are told, over HTTP and at the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.services.retention_rules import told

if TYPE_CHECKING:
    from claude_mem.services.retention import Removal
    from claude_mem.storage.retention import Rule


def rule(found: Rule) -> dict[str, Any]:
    """A rule."""
    return {
        "id": found.id,
        "projectId": found.project_id,
        **told(found),
        "createdAtEpoch": found.created_us // 1000,
        "lastRunAtEpoch": None if found.last_run_us is None else found.last_run_us // 1000,
        "lastRemoved": found.last_removed,
    }


def removal(found: Removal) -> dict[str, Any]:
    """What a rule removes from a project."""
    return {
        "ruleId": found.rule_id,
        "projectId": found.project_id,
        "subject": found.subject,
        "count": found.count,
        "oldestAtEpoch": None if found.oldest_us is None else found.oldest_us // 1000,
    }
