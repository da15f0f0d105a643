"""Generated Secrets: the stores' passwords and the first API key. What exists is kept, whatever it holds."""

from __future__ import annotations

import base64
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired.digests import content_digest
from claude_mem_operator.desired.names import (
    CONTENT_ANNOTATION,
    SERVER_PORT,
    Component,
    child,
    child_name,
    credentials_name,
)
from claude_mem_operator.desired.types import Identities, SecretKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.desired.types import Inputs, Manifest

PASSWORD_KEY: Final = "password"  # noqa: S105 - the name of a key
API_KEY: Final = "api-key"
_TEAM: Final = "team"
_PROJECT: Final = "project"
_TEAM_ID: Final = "team-id"
_PROJECT_ID: Final = "project-id"

#: The only user and the only database of a managed PostgreSQL.
POSTGRES_USER: Final = "claude_mem"
POSTGRES_DATABASE: Final = "claude_mem"

# 32 letters and digits are 190 bits, and need no escapes in a URL or in SQL.
_ALPHABET: Final = string.ascii_letters + string.digits
_PASSWORD_LENGTH: Final = 32
_KEY_BYTES: Final = 24


def random_secret(kind: SecretKind) -> str:
    """A new secret: passwords of letters and digits, an API key in the form of those made at the command line."""
    if kind is SecretKind.API_KEY:
        return "cmem_" + secrets.token_hex(_KEY_BYTES)
    return "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The generated secrets of one resource; None for those of a store that runs elsewhere."""

    postgres: str | None = field(repr=False)
    valkey: str | None = field(repr=False)
    api_key: str = field(repr=False)


def resolve(inputs: Inputs) -> Credentials:
    """The secrets as they exist, and new ones for those that do not."""
    resource = inputs.resource

    def secret(name: str, key: str, kind: SecretKind) -> str:
        return inputs.generated.get(name, {}).get(key) or inputs.new_secret(kind)

    def password(component: Component, kind: SecretKind) -> str:
        return secret(credentials_name(resource, component), PASSWORD_KEY, kind)

    postgres, valkey = resource.spec.postgres.managed, resource.spec.valkey.managed
    return Credentials(
        postgres=password(Component.POSTGRES, SecretKind.POSTGRES_PASSWORD) if postgres else None,
        valkey=password(Component.VALKEY, SecretKind.VALKEY_PASSWORD) if valkey else None,
        api_key=_api_key(inputs),
    )


def identities(inputs: Inputs, *, job: str) -> Identities | None:
    """The ids of the team and the project: as the migration's `job` told them, else as they stand in the Secret.

    None until the first migration has succeeded, and again after a change of the names.
    """
    existing = _existing(inputs)
    team, project = existing.get(_TEAM_ID), existing.get(_PROJECT_ID)
    known = Identities(team=team, project=project) if team and project else None
    return inputs.reports.get(job, known)


def _api_key(inputs: Inputs) -> str:
    return _existing(inputs).get(API_KEY) or inputs.new_secret(SecretKind.API_KEY)


def _existing(inputs: Inputs) -> Mapping[str, str]:
    """What the key's Secret holds, unless it is another team's or project's: a key stays with its project."""
    resource = inputs.resource
    existing = inputs.generated.get(resource.api_key_secret_name, {})
    bootstrap = resource.spec.bootstrap
    made_for = existing.get(_TEAM, bootstrap.team), existing.get(_PROJECT, bootstrap.project)
    return existing if made_for == (bootstrap.team, bootstrap.project) else {}


def values(resource: ClaudeMemServer, credentials: Credentials) -> dict[str, str]:
    """The generated secrets, by `Secret/NAME/KEY`."""
    found = {f"Secret/{resource.api_key_secret_name}/{API_KEY}": credentials.api_key}
    for component, value in (
        (Component.POSTGRES, credentials.postgres),
        (Component.VALKEY, credentials.valkey),
    ):
        if value is not None:
            found[f"Secret/{credentials_name(resource, component)}/{PASSWORD_KEY}"] = value
    return found


def endpoint(resource: ClaudeMemServer) -> str:
    """How the server is reached within the cluster."""
    name = child_name(resource, Component.SERVER)
    return f"http://{name}.{resource.metadata.namespace}.svc:{SERVER_PORT}"


def build(
    resource: ClaudeMemServer, credentials: Credentials, ids: Identities | None
) -> tuple[Manifest, ...]:
    """The Secrets. PostgreSQL's outlives the resource where its volume does: the volume is of no use without it."""
    about = {
        _PROJECT: resource.spec.bootstrap.project,
        _TEAM: resource.spec.bootstrap.team,
        "url": resource.spec.server.public_url or endpoint(resource),
    }
    if ids is not None:
        about |= {_PROJECT_ID: ids.project, _TEAM_ID: ids.team}
    made = [
        _secret(
            resource,
            Component.SHARED,
            name=resource.api_key_secret_name,
            data={API_KEY: credentials.api_key, **about},
            # What is not secret in it shows when it changes.
            annotations={CONTENT_ANNOTATION: content_digest(about)},
        )
    ]
    if credentials.postgres is not None:
        data = {
            "database": POSTGRES_DATABASE,
            "host": child_name(resource, Component.POSTGRES),
            PASSWORD_KEY: credentials.postgres,
            "username": POSTGRES_USER,
        }
        retain = resource.spec.deletion_policy == "Retain"
        made.append(_secret(resource, Component.POSTGRES, data=data, owned=not retain))
    if credentials.valkey is not None:
        made.append(_secret(resource, Component.VALKEY, data={PASSWORD_KEY: credentials.valkey}))
    return tuple(made)


def _secret(
    resource: ClaudeMemServer,
    component: Component,
    *,
    data: dict[str, str],
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    owned: bool = True,
) -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in sorted(data.items())}
    return child(
        resource,
        component,
        api_version="v1",
        kind="Secret",
        name=name or credentials_name(resource, component),
        annotations=annotations,
        owned=owned,
        body={"type": "Opaque", "data": encoded},
    )
