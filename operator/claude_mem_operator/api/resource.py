"""The resource itself: what a manifest becomes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.errors import FieldProblem, InvalidResource
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.spec import ClaudeMemServerSpec
from claude_mem_operator.api.status import ClaudeMemServerStatus

GROUP: Final = "claude-mem.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "claude-mem.dev/v1alpha1"
KIND: Final = "ClaudeMemServer"
PLURAL: Final = "claudememservers"

NAME_LENGTH: Final = 40
_OWN_SECRETS: Final = ("postgres-credentials", "valkey-credentials")


class Metadata(Model):
    """What the operator reads of the resource's metadata."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    """At most 40 characters, a letter first, so that the names of its children are valid."""
    namespace: str = "default"
    """Its namespace, where its children are, too."""
    uid: str = ""
    """What sets it apart from another of its name."""
    generation: int = 0
    """Counts the changes of the spec."""
    resource_version: str = ""
    """Changes with every write."""
    labels: dict[str, str] = {}
    """Its labels."""
    annotations: dict[str, str] = {}
    """Its annotations."""
    finalizers: tuple[str, ...] = ()
    """Who has something to do before it goes."""
    creation_timestamp: datetime | None = None
    """When it was made."""
    deletion_timestamp: datetime | None = None
    """When its deletion was asked for."""


class ClaudeMemServer(Model):
    """A memory service for coding agents: its server, its workers, and the stores that they need."""

    api_version: Literal["claude-mem.dev/v1alpha1"] = API_VERSION
    """The version of the schema."""
    kind: Literal["ClaudeMemServer"] = KIND
    """The kind."""
    metadata: Metadata
    """Its name, and what Kubernetes keeps about it."""
    spec: ClaudeMemServerSpec
    """What is asked for."""
    status: ClaudeMemServerStatus = ClaudeMemServerStatus()
    """What the operator has seen."""

    rules = (
        Rule(
            cel=(
                "!has(self.spec.bootstrap.apiKeySecretName) || "
                "!(self.spec.bootstrap.apiKeySecretName in "
                "[self.metadata.name + '-postgres-credentials', self.metadata.name + '-valkey-credentials'])"
            ),
            holds=lambda one: (
                one.spec.bootstrap.api_key_secret_name
                not in {f"{one.metadata.name}-{suffix}" for suffix in _OWN_SECRETS}
            ),
            message="must not be the name of a Secret that the operator makes for a store; choose another",
            field=".spec.bootstrap.apiKeySecretName",
        ),
    )

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> Self:
        """The resource that `manifest`, a JSON object of the API server, holds, with all defaults.

        A status that cannot be read counts as empty: the operator writes it anew. Raises InvalidResource.
        """
        if not isinstance(manifest, dict):
            raise InvalidResource([FieldProblem(path="", message="must be an object")])
        try:
            parsed = cls._of({name: part for name, part in manifest.items() if name != "status"})
        except ValidationError as error:
            raise InvalidResource.of(error) from None
        return parsed.model_copy(update={"status": _status(manifest.get("status"))})

    @classmethod
    def _of(cls, manifest: dict[str, Any]) -> Self:
        return cls.model_validate_json(json.dumps(manifest), strict=True, by_alias=True, by_name=False)

    @property
    def api_key_secret_name(self) -> str:
        """The Secret into which the first key is written."""
        return self.spec.bootstrap.api_key_secret_name or f"{self.metadata.name}-api-key"


def _status(manifest: Any) -> ClaudeMemServerStatus:
    try:
        return ClaudeMemServerStatus.model_validate_json(
            json.dumps(manifest or {}), strict=True, by_alias=True, by_name=False
        )
    except ValidationError:
        return ClaudeMemServerStatus()
