"""What one run of the builders shares: the inputs, the secrets as decided, the environments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem_operator.desired import credentials
from claude_mem_operator.desired.digests import content_digest, value_digest
from claude_mem_operator.desired.environment import component_environments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claude_mem.environment import Role
    from claude_mem_operator.api import ClaudeMemServer, ClaudeMemServerSpec
    from claude_mem_operator.desired.credentials import Credentials
    from claude_mem_operator.desired.environment import EnvironmentOf
    from claude_mem_operator.desired.types import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The inputs, and what follows from them for more than one builder."""

    inputs: Inputs
    credentials: Credentials
    environments: Mapping[Role, EnvironmentOf]

    @classmethod
    def of(cls, inputs: Inputs) -> Context:
        return cls(
            inputs=inputs,
            credentials=credentials.resolve(inputs),
            environments=component_environments(inputs.resource, inputs.operator_environment),
        )

    @property
    def resource(self) -> ClaudeMemServer:
        return self.inputs.resource

    @property
    def spec(self) -> ClaudeMemServerSpec:
        return self.inputs.resource.spec

    @property
    def image(self) -> str:
        """The image of the server and the workers."""
        return self.spec.image or self.inputs.defaults.runtime_image

    def references_digest(self, references: Iterable[str]) -> str:
        """One digest over the values behind `references`, such as `Secret/NAME/KEY`; it changes with any of them.

        A Secret that is generated counts with its value as decided, so that the first run, which makes it, and
        all later ones agree.
        """
        generated = credentials.values(self.resource, self.credentials)
        return content_digest(
            {
                reference: value_digest(generated[reference])
                if reference in generated
                else self.inputs.digests.get(reference)
                for reference in references
            }
        )
