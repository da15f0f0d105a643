"""The migration: a Job that brings the schema up to date, then makes the first team, project and key.

Its name has the digest of all that it does, and of the volume that it does it to, so that a change or a new database makes
a new Job, and no change makes none. Its pod ends with a message: what `claude-mem server bootstrap --json` prints. A Job
that failed is tried again with another value of the resource's annotation `claude-mem.dev/retry`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem_operator.api import Resources
from claude_mem_operator.desired import pods
from claude_mem_operator.desired.credentials import API_KEY
from claude_mem_operator.desired.digests import content_digest
from claude_mem_operator.desired.environment import migration_environment
from claude_mem_operator.desired.names import RETRY_ANNOTATION, Component, child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

KEY_DIR: Final = "/run/secrets/claude-mem"

_NAME_DIGITS: Final = 10
_BACKOFF_LIMIT: Final = 3
_GRACE_S: Final = 30

#: The exit status of a command whose database does not answer, and those of one that says no (docs/reference/cli.md).
_UNAVAILABLE: Final = 5
_REFUSED: Final = [1, 2]

BOOTSTRAP: Final = "bootstrap"

# What was made is told to the kubelet, and so stands in the pod's status: the pod may not write to the cluster itself.
_SCRIPT: Final = 'exec claude-mem server bootstrap --json "$@" >/dev/termination-log'

_RESOURCES: Final = Resources(requests=pods.REQUESTS[Component.MIGRATION], limits={"memory": "512Mi"})


def build(context: Context) -> Manifest:
    """The Job."""
    resource = context.resource
    spec = {
        "backoffLimit": _BACKOFF_LIMIT,
        "podFailurePolicy": {
            "rules": [
                # A database that does not answer yet, and a node that goes away, are no failures of the migration.
                {
                    "action": "Ignore",
                    "onExitCodes": {"operator": "In", "values": [_UNAVAILABLE]},
                },
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                # A key that is refused is refused the next time as well.
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": BOOTSTRAP, "operator": "In", "values": _REFUSED},
                },
            ]
        },
        "template": _template(context),
    }
    retry = resource.metadata.annotations.get(RETRY_ANNOTATION, "")
    digest = content_digest([spec, retry, context.inputs.database_volume], length=_NAME_DIGITS)
    return child(
        resource,
        Component.MIGRATION,
        api_version="batch/v1",
        kind="Job",
        name=f"{resource.metadata.name}-migrate-{digest}",
        body={"spec": spec},
    )


def _template(context: Context) -> Manifest:
    environment = migration_environment(context.environments[Role.SERVER])
    key_secret = context.resource.api_key_secret_name

    def container(name: str, command: Sequence[str], *mounts: Manifest) -> Manifest:
        return pods.container(
            name,
            image=context.image,
            pull_policy=context.spec.image_pull_policy,
            command=command,
            env=environment.env,
            resources=pods.effective_resources(Component.MIGRATION, _RESOURCES),
            mounts=[*pods.runtime_mounts(context, environment), *mounts],
        )

    template = pods.template(
        context,
        Component.MIGRATION,
        place=_place(context),
        init_containers=[container("migrate", ["claude-mem", "server", "migrate"])],
        containers=[
            container(
                BOOTSTRAP,
                _bootstrap(context),
                {"name": "key", "mountPath": KEY_DIR, "readOnly": True},
            )
        ],
        volumes=[
            *pods.runtime_volumes(context, environment),
            pods.secret_file("key", key_secret, API_KEY, API_KEY),
        ],
        references=[*pods.runtime_references(context, environment), f"Secret/{key_secret}/{API_KEY}"],
    )
    template["spec"]["restartPolicy"] = "Never"
    return template


def _place(context: Context) -> pods.Placement:
    """Where the server may run, the migration may."""
    server = context.spec.server
    return pods.Placement(
        node_selector=dict(sorted(server.node_selector.items())),
        tolerations=[toleration.manifest() for toleration in server.tolerations],
        affinity=None,
        priority_class=server.priority_class_name,
        spread=(),
        annotations={},
        more_labels={},
        grace_s=_GRACE_S,
    )


def _bootstrap(context: Context) -> list[str]:
    """The command; a name with `$(` in it is no reference, and one that begins with a dash is no option."""
    resource = context.resource
    bootstrap = resource.spec.bootstrap
    options = {
        "team": bootstrap.team,
        "project": bootstrap.project,
        "api-key-file": f"{KEY_DIR}/{API_KEY}",
        # Of two resources that share a database, each replaces its own key only.
        "name": f"{resource.metadata.namespace}/{resource.metadata.name}",
    }
    words = [f"--{name}={value}".replace("$", "$$") for name, value in options.items()]
    return [*pods.shell(_SCRIPT), BOOTSTRAP, *words]
