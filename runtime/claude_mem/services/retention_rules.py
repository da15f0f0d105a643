"""Retention rules as they are made and told; carrying them out is `retention`'s."""

from __future__ import annotations

from typing import Final

from claude_mem.model.errors import InvalidInput
from claude_mem.model.identity import new_id
from claude_mem.storage.retention import SUBJECTS, Rule

#: Largest bounds of a rule: a hundred years, and what fits an integer everywhere.
MOST_DAYS: Final = 36_500
MOST_KEPT: Final = 2**31 - 1


def new_rule(
    *,
    team_id: str,
    project_id: str | None,
    subject: str,
    kinds: list[str] | None = None,
    max_age_days: int | None = None,
    keep_last: int | None = None,
    keep_summaries: bool = False,
) -> Rule:
    """A rule with an id of its own; parameters as `Rule` has them.

    Raises: InvalidInput for a subject that does not exist.
    """
    for known in SUBJECTS:
        if subject == known:
            return Rule(
                id=new_id(),
                team_id=team_id,
                project_id=project_id,
                subject=known,
                kinds=tuple(dict.fromkeys(kinds)) if kinds else None,
                max_age_days=max_age_days,
                keep_last=keep_last,
                keep_summaries=keep_summaries,
            )
    raise InvalidInput(f"a rule's subject is one of {', '.join(SUBJECTS)}")


def check(rule: Rule) -> None:
    """Raises: InvalidInput for a rule that makes no sense."""
    if not rule.is_bound and rule.project_id is None:
        raise InvalidInput(
            "a rule without an age and a number keeps everything, which is of use for one project only: "
            "name an age, a number or a project"
        )
    if rule.max_age_days is not None and not 1 <= rule.max_age_days <= MOST_DAYS:
        raise InvalidInput(f"a rule's age is 1 to {MOST_DAYS} days")
    if rule.keep_last is not None and not 1 <= rule.keep_last <= MOST_KEPT:
        raise InvalidInput("a rule keeps at least 1")
    if rule.keep_summaries and rule.subject != "memories":
        raise InvalidInput("summaries are memories: only a rule for those can keep them")
    if rule.kinds is not None and rule.subject == "sessions":
        raise InvalidInput("sessions have no kinds: leave them out")


def told(rule: Rule) -> dict[str, object]:
    """What a rule says, as answers and the audit log have it."""
    return {
        "subject": rule.subject,
        "kinds": None if rule.kinds is None else list(rule.kinds),
        "maxAgeDays": rule.max_age_days,
        "keepLast": rule.keep_last,
        "keepSummaries": rule.keep_summaries,
    }
