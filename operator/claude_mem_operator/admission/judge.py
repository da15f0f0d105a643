"""The webhook's answer: may this ClaudeMemServer be written?

What is read is the request of an AdmissionReview, and nothing else: no Secret, no other object, so a dry run is
like any other. What the old resource had wrong already may stay, with a warning; else an old resource could
neither be mended step by step nor changed at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.admission.cautions import cautions
from claude_mem_operator.admission.findings import find
from claude_mem_operator.admission.readable import readable
from claude_mem_operator.api import ClaudeMemServer, FieldProblem, InvalidResource
from claude_mem_operator.api.changes import forbidden_changes
from claude_mem_operator.desired.types import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem_operator.admission.findings import Finding

#: The API server drops what is longer, or more, than its headers hold.
WARNING_LENGTH: Final = 250
WARNINGS: Final = 15
_STAYS: Final = "was so before and may stay, but the workload cannot work with it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong: where, what stands there (fit to be shown), and what to write instead."""

    path: str
    message: str
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the request is let through, why not, and what its sender should know."""

    allowed: bool
    message: str = ""
    causes: tuple[Cause, ...] = ()
    warnings: tuple[str, ...] = ()


ALLOWED: Final = Decision(allowed=True)


def judge(request: Mapping[str, Any], *, operator_environment: Mapping[str, str] = NONE) -> Decision:
    """Decide on the `request` of an AdmissionReview.

    `operator_environment` are the variables that the operator gives every server and worker. Never raises for
    what is in the request: what is no request, or no resource, is refused with the reason.
    """
    operation = request.get("operation")
    if operation in {"DELETE", "CONNECT"} or request.get("subResource"):
        return ALLOWED
    if operation not in {"CREATE", "UPDATE"}:
        return _malformed("its operation is none of CREATE, UPDATE, DELETE and CONNECT")
    new, old = request.get("object"), request.get("oldObject")
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        return _malformed("it holds no object with metadata")
    if operation == "UPDATE" and not isinstance(old, dict):
        return _malformed("it holds no old object, though it is an update")
    if new["metadata"].get("deletionTimestamp"):
        return ALLOWED
    before = old if operation == "UPDATE" else None
    if before is not None and before.get("spec") == new.get("spec"):
        return ALLOWED
    return _resource(new, before, operator_environment)


def guard(resource: ClaudeMemServer, *, operator_environment: Mapping[str, str] = NONE) -> tuple[str, ...]:
    """The paths of the fields that keep the workload from starting as it should; empty where there are none.

    The same question that `judge` asks of a new resource, for those that were written past the webhook.
    """
    findings = find(resource, operator_environment)
    return tuple(dict.fromkeys(finding.path for finding in findings.errors))


def _resource(
    new: dict[str, Any], old: dict[str, Any] | None, operator_environment: Mapping[str, str]
) -> Decision:
    problems, earlier = _problems(new), _problems(old)
    stays = [f"{one.path}: {_STAYS}: {one.message}" for one in problems if one in earlier]
    if len(stays) < len(problems):
        return _decide(errors=[_cause(one) for one in problems if one not in earlier], warnings=stays)
    resource, before = readable(new), None if old is None else readable(old)
    if resource is None:
        return _decide(errors=[], warnings=stays)
    findings = find(resource, operator_environment)
    known = _known(findings.errors, before, operator_environment)
    changes = () if before is None else forbidden_changes(resource, before)
    # Where a field could not be read, another stands in its place, and a change from or to that is none.
    unread = [_block(one.path) for one in earlier]
    return _decide(
        errors=[
            *(_cause(one) for one in changes if _block(one.path) not in unread),
            *(_finding_cause(one) for one in findings.errors if one not in known),
        ],
        warnings=[
            *stays,
            *(f"{one.path}: {_STAYS}: {one.message}" for one in known),
            *(f"{one.path}: {one.message}" for one in findings.warnings if not problems),
            *(() if problems else cautions(resource, operator_environment)),
        ],
    )


def _known(
    errors: tuple[Finding, ...], before: ClaudeMemServer | None, operator_environment: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Those of `errors` that the old resource, read as `before`, has as well."""
    if before is None:
        return ()
    identities = {one.identity for one in find(before, operator_environment).errors}
    return tuple(one for one in errors if one.identity in identities)


def _block(path: str) -> list[str]:
    """The block of the spec in which `path` lies: of `spec.server.env[0].value`, the server."""
    return path.split(".")[:2]


def _decide(*, errors: list[Cause], warnings: list[str]) -> Decision:
    causes = tuple(dict.fromkeys(errors))
    told = tuple(_short(warning) for warning in dict.fromkeys(warnings))[:WARNINGS]
    if not causes:
        return Decision(allowed=True, warnings=told)
    lines = [f"{cause.path}: {cause.message}" for cause in causes]
    message = (
        lines[0]
        if len(lines) == 1
        else "\n".join(("the resource is invalid:", *(f"  - {one}" for one in lines)))
    )
    return Decision(allowed=False, message=message, causes=causes, warnings=told)


def _cause(problem: FieldProblem) -> Cause:
    found = "" if problem.value is None else f" (it is {problem.value})"
    return Cause(path=problem.path, message=problem.message + found, value=problem.value)


def _finding_cause(finding: Finding) -> Cause:
    told = finding.value is None or finding.value in finding.message
    found = "" if told else f" (It is {finding.value}.)"
    return Cause(path=finding.path, message=finding.message + found, value=finding.value)


def _malformed(why: str) -> Decision:
    message = (
        f"the request is not one that this webhook can answer: {why}; look at the webhook's configuration"
    )
    return Decision(allowed=False, message=message, causes=(Cause(path="", message=message),))


def _problems(manifest: dict[str, Any] | None) -> tuple[FieldProblem, ...]:
    try:
        if manifest is not None:
            ClaudeMemServer.parse(manifest)
    except InvalidResource as invalid:
        return invalid.problems
    return ()


def _short(warning: str) -> str:
    return warning if len(warning) <= WARNING_LENGTH else warning[: WARNING_LENGTH - 1] + "…"
