"""The managed PostgreSQL: one pod with one volume, tuned to its memory, made so that a crash at any time is survived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired import pods
from claude_mem_operator.desired.credentials import PASSWORD_KEY, POSTGRES_DATABASE, POSTGRES_USER
from claude_mem_operator.desired.names import POSTGRES_PORT, Component, credentials_name
from claude_mem_operator.desired.postgres_tuning import settings
from claude_mem_operator.desired.stores import store_manifests

if TYPE_CHECKING:
    from claude_mem_operator.api import ManagedPostgres
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

ROOT: Final = "/var/lib/postgresql/data"

# As in docker-compose.yml, a cluster is made aside and then moved into place, so that one whose making was cut short is
# made again. Then its password is made the Secret's: that is how a password is changed, and how a volume that
# outlived its Secret is opened again. A volume's group may have been changed by the kubelet; PostgreSQL insists on 0700.
_SCRIPT: Final = """\
root=/var/lib/postgresql/data
umask 077
if [ ! -e "$root/cluster/PG_VERSION" ]; then
  rm -rf "$root/unfinished" "$root/cluster"
  initdb --pgdata="$root/unfinished" --username="$PGUSER" --auth-local=trust --auth-host=scram-sha-256 \\
    --encoding=UTF8 --locale=C.UTF-8
  echo 'host all all all scram-sha-256' >> "$root/unfinished/pg_hba.conf"
  printf 'CREATE DATABASE "%s"\\n' "$PGDATABASE" | postgres --single -D "$root/unfinished" postgres
  mv "$root/unfinished" "$root/cluster"
fi
chmod 0700 "$root/cluster"
password=$(printf '%s' "$POSTGRES_PASSWORD" | sed "s/'/''/g")
printf "ALTER ROLE \\"%s\\" PASSWORD '%s'\\n" "$PGUSER" "$password" | postgres --single -D "$root/cluster" postgres
unset password POSTGRES_PASSWORD
exec postgres -D "$root/cluster" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
"""

_QUERY: Final = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--command=SELECT 1"]
_ALIVE: Final = ["pg_isready", "--quiet", "--timeout=5"]

# PostgreSQL takes SIGTERM as "when the last client has gone", and images differ in their stop signal; SIGINT is its
# fast shutdown (https://www.postgresql.org/docs/17/server-shutdown.html).
_STOP: Final = pods.shell("kill -INT 1")
_GRACE_S: Final = 60


def build(context: Context, managed: ManagedPostgres) -> tuple[Manifest, ...]:
    """Its Service and its StatefulSet."""
    return store_manifests(
        context,
        Component.POSTGRES,
        managed,
        port=POSTGRES_PORT,
        template=_template(context, managed),
    )


def _template(context: Context, managed: ManagedPostgres) -> Manifest:
    container = pods.container(
        Component.POSTGRES,
        image=managed.image or context.inputs.defaults.postgres_image,
        pull_policy=managed.image_pull_policy,
        command=[*pods.shell(_SCRIPT), "postgres", *_arguments(managed)],
        env=_environment(context),
        resources=pods.effective_resources(Component.POSTGRES, managed.resources),
        mounts=[
            pods.TMP,
            {"name": "data", "mountPath": ROOT},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a volume of the pod's own
        ],
        ports=[{"name": "postgres", "containerPort": POSTGRES_PORT}],
        # Recovery after a crash may replay much; a probe that ends it makes it begin anew.
        startupProbe=pods.probe({"exec": {"command": _QUERY}}, period_s=1, timeout_s=5, failures=1800),
        readinessProbe=pods.probe({"exec": {"command": _QUERY}}, period_s=5, timeout_s=5, failures=3),
        livenessProbe=pods.probe({"exec": {"command": _ALIVE}}, period_s=10, timeout_s=10, failures=6),
        lifecycle={"preStop": {"exec": {"command": _STOP}}},
    )
    return pods.template(
        context,
        Component.POSTGRES,
        place=pods.placement(managed, grace_s=_GRACE_S),
        containers=[container],
        # Parallel queries share memory in /dev/shm, of which a container has 64 MiB unless told.
        volumes=[pods.scratch("tmp", "64Mi"), {"name": "shm", "emptyDir": {"medium": "Memory"}}],
        references=[f"Secret/{credentials_name(context.resource, Component.POSTGRES)}/{PASSWORD_KEY}"],
    )


def _environment(context: Context) -> list[Manifest]:
    secret = {"name": credentials_name(context.resource, Component.POSTGRES), "key": PASSWORD_KEY}
    return [
        {"name": "PGUSER", "value": POSTGRES_USER},
        {"name": "PGDATABASE", "value": POSTGRES_DATABASE},
        # Probes go over the socket, where no password is asked for.
        {"name": "PGHOST", "value": "/tmp"},  # noqa: S108
        {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": secret}},
    ]


def _arguments(managed: ManagedPostgres) -> list[str]:
    tuned = settings(pods.memory_bytes(Component.POSTGRES, managed.resources))
    return [part for name, value in tuned.items() for part in ("-c", f"{name}={value}")]
