"""Retention rules: what is forgotten with time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from claude_mem.http import params
from claude_mem.http.access import authorize, named_project
from claude_mem.http.answers import answer
from claude_mem.http.forgetting import removal, rule
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import PROJECT, Operation, describe
from claude_mem.http.responses import forgotten
from claude_mem.http.schemas import RETENTION
from claude_mem.http.validation import read_json, validate
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.retention import CHANGES_RULES
from claude_mem.services.retention_rules import new_rule

if TYPE_CHECKING:
    from claude_mem.http.schemas import RetentionBody


@describe(
    Operation(
        "listRetentionRules",
        "What is forgotten with time",
        tag="Retention",
        scope=READ,
        answers={200: forgotten.Rules},
    )
)
async def list_rules(request: web.Request) -> web.Response:
    """GET /v1/retention."""
    context = await authorize(request, READ)
    found = await request.app[SERVICES].retention.rules(context)
    return answer({"rules": [rule(one) for one in found]})


@describe(
    Operation(
        "addRetentionRule",
        "Have something forgotten with time",
        tag="Retention",
        scope=WRITE,
        body=RETENTION,
        answers={201: forgotten.RuleAdded},
    )
)
async def add(request: web.Request) -> web.Response:
    """POST /v1/retention."""
    context = await authorize(request, WRITE)
    body: RetentionBody = validate(RETENTION, await read_json(request))
    wanted = new_rule(
        team_id=context.require_administrator(CHANGES_RULES),
        project_id=body.project_id,
        subject=body.subject,
        kinds=body.kinds,
        max_age_days=body.max_age_days,
        keep_last=body.keep_last,
        keep_summaries=body.keep_summaries,
    )
    stored = await request.app[SERVICES].retention.put(context, wanted)
    return answer({"rule": rule(stored)}, status=201)


@describe(
    Operation(
        "removeRetentionRule",
        "Remove a rule",
        tag="Retention",
        scope=WRITE,
        answers={200: forgotten.RuleRemoved},
    )
)
async def remove(request: web.Request) -> web.Response:
    """DELETE /v1/retention/:id."""
    context = await authorize(request, WRITE)
    rule_id = params.path_id(request, "id", what="Retention rule")
    await request.app[SERVICES].retention.remove(context, rule_id)
    return answer({"deleted": True, "id": rule_id})


@describe(
    Operation(
        "previewRetention",
        "What the rules would remove now",
        tag="Retention",
        scope=READ,
        answers={200: forgotten.Preview},
        parameters=(PROJECT,),
    )
)
async def preview(request: web.Request) -> web.Response:
    """GET /v1/retention/preview."""
    context = await authorize(request, READ)
    context.require_team()
    project_id = await named_project(request, context)
    found = await request.app[SERVICES].retention.preview(context.team_id, project_id=project_id)
    return answer({"removals": [removal(one) for one in found]})


ROUTES = [
    web.get("/v1/retention", list_rules),
    web.post("/v1/retention", add),
    web.get("/v1/retention/preview", preview),
    web.delete("/v1/retention/{id}", remove),
]
