"""The members of what routes answer, as existing clients read them, and a job to ask about."""

from __future__ import annotations

from typing import Any

from tests.support.http import Server, Tenant, event_body


def names(text: str) -> set[str]:
    return set(text.split())


EVENT = names(
    "id projectId teamId serverSessionId sourceAdapter sourceEventId eventType platformSource payload metadata "
    "occurredAtEpoch receivedAtEpoch createdAtEpoch"
)
SESSION = names(
    "id projectId teamId externalSessionId contentSessionId agentId agentType platformSource generationStatus "
    "metadata startedAtEpoch endedAtEpoch lastGeneratedAtEpoch createdAtEpoch updatedAtEpoch"
)
MEMORY = names("id projectId teamId serverSessionId kind content metadata createdAtEpoch updatedAtEpoch")
JOB_SHORT = names("id status bullmqJobId sourceType sourceId transport createdAtEpoch updatedAtEpoch")
JOB_WAITED = JOB_SHORT | {"attempts", "maxAttempts"}
JOB_FULL = names(
    "id projectId teamId sourceType sourceId agentEventId serverSessionId jobType status bullmqJobId attempts "
    "maxAttempts nextAttemptAtEpoch completedAtEpoch failedAtEpoch cancelledAtEpoch lastError createdAtEpoch "
    "updatedAtEpoch"
)
JOB_LISTED = names(
    "id projectId teamId sourceType sourceId status attempts maxAttempts createdAtEpoch completedAtEpoch "
    "failedAtEpoch lastError"
)
KEY = names(
    "id name prefix teamId projectId actorId scopes status createdAtEpoch expiresAtEpoch revokedAtEpoch "
    "lastUsedAtEpoch replacedBy"
)
NEW_KEY = {"id", "apiKey", "scopes", "expiresAt", "mcpUrl", "connectCommand"}
PROJECT = {"id", "teamId", "name", "metadata", "createdAtEpoch", "updatedAtEpoch"}
AUDIT = names("id action resourceType resourceId teamId projectId actorId apiKeyId details createdAtEpoch")


def job_of(api: Server, tenant: Tenant, **changes: Any) -> str:
    made = api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project, **changes), status=201)
    return str(made["generationJob"]["id"])
