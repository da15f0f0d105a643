"""The operator's own settings, read once from its environment.

Every variable is declared here with its default and reason; docs/reference/operator.md is generated from that.
What a resource says about its workload is left to `api`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "CLAUDE_MEM_OPERATOR_"
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: Variables that Kubernetes adds for each Service of a namespace, ours among them.
_SERVICE_LINK: Final = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT(_\d|$)")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ConfigInvalid(Exception):
    """Raised when the operator's environment holds values it cannot start with; the message names each."""


class WebhookMode(StrEnum):
    """Where the webhook's certificate comes from."""

    OWN = "own"
    PROVIDED = "provided"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a variable is called after the prefix, what it may hold, and why its default is as it is."""

    name: str
    meaning: str
    default: str
    expects: str
    parse: Callable[[str], Any] = field(repr=False)

    @property
    def variable(self) -> str:
        """The whole name of the environment variable."""
        return PREFIX + self.name


def _text(value: str) -> str:
    return value


def _namespaces(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    for name in names:
        if not _LABEL.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a namespace")
    return names


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not least <= number <= most:
            raise ValueError(f"{number} is not from {least} to {most}")
        return number

    return parse


def _one_of(values: type[StrEnum] | tuple[str, ...], *, change: Callable[[str], str]) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        wanted = change(value)
        if wanted not in tuple(values):
            raise ValueError(f"{value!r} is none of {', '.join(values)}")
        return values(wanted) if isinstance(values, type) else wanted

    return parse


def _environment(value: str) -> dict[str, str]:
    pairs = json.loads(value)
    if not isinstance(pairs, dict) or not all(isinstance(text, str) for text in pairs.values()):
        raise ValueError("it must be a JSON object of texts")
    return dict(sorted(pairs.items()))


def _setting(
    name: str, default: str, meaning: str, *, expects: str = "text", parse: Callable[[str], Any] = _text
) -> Any:
    setting = Setting(name=name, meaning=meaning, default=default, expects=expects, parse=parse)
    return field(default_factory=lambda: parse(default), metadata={"setting": setting})


def _port(name: str, default: str, meaning: str) -> Any:
    return _setting(name, default, meaning, expects="port", parse=_number(0, 65535))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings. Times are in seconds; an empty tuple of namespaces means all of them."""

    namespaces: tuple[str, ...] = _setting(
        "NAMESPACES",
        "",
        "Namespaces whose resources are looked after. Empty means all; a list needs Roles only.",
        expects="names, separated by commas",
        parse=_namespaces,
    )
    namespace: str = _setting(
        "NAMESPACE", "", "The operator's own namespace. Empty means that of its pod, or `default`."
    )
    identity: str = _setting(
        "POD_NAME", "", "How this replica calls itself in the lease. Empty means the host's name."
    )
    runtime_image: str = _setting(
        "RUNTIME_IMAGE", "claude-mem-runtime:local", "Image of a resource that names none."
    )
    postgres_image: str = _setting(
        "POSTGRES_IMAGE", "docker.io/library/postgres:17", "Image of a managed PostgreSQL that names none."
    )
    valkey_image: str = _setting(
        "VALKEY_IMAGE", "docker.io/valkey/valkey:8", "Image of a managed Valkey that names none."
    )
    workload_environment: dict[str, str] = _setting(  # noqa: RUF009 - a field with a factory
        "WORKLOAD_ENV",
        "{}",
        "Variables for every server and worker, below what a resource sets itself: a proxy, say.",
        expects="JSON object",
        parse=_environment,
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        "INFO",
        "How much is logged.",
        expects="DEBUG, INFO, WARN or ERROR",
        parse=_one_of(("DEBUG", "INFO", "WARN", "ERROR"), change=str.upper),
    )
    log_format: str = _setting(
        "LOG_FORMAT",
        "json",
        "One JSON object a line for machines, or text for people.",
        expects="json or text",
        parse=_one_of(("json", "text"), change=str.lower),
    )
    lease_name: str = _setting(
        "LEASE_NAME", "claude-mem-operator", "The Lease whose holder acts; the other replicas wait."
    )
    deployment: str = _setting(
        "DEPLOYMENT",
        "",
        "The operator's own Deployment, with which the Lease goes. Empty means that it stays behind.",
    )
    lease_s: int = _setting(
        "LEASE_SECONDS",
        "15",
        "How long the lease of a replica that vanished is respected. Shorter means more renewals and more false alarms.",
        expects="seconds, 3 to 300",
        parse=_number(3, 300),
    )
    resync_s: int = _setting(
        "RESYNC_SECONDS",
        "60",
        "How often a resource is looked at although nothing happened: what a missed event costs at most.",
        expects="seconds, 5 to 86400",
        parse=_number(5, 86400),
    )
    concurrency: int = _setting(
        "CONCURRENCY",
        "8",
        "Resources that are worked on at the same time.",
        expects="1 to 16",
        parse=_number(1, 16),
    )
    webhook: WebhookMode = _setting(  # noqa: RUF009 - a field with a factory
        "WEBHOOK",
        "own",
        "`own`: the operator makes the certificate and rotates it. `provided`: another does, cert-manager say, "
        "and the operator serves what is in the Secret. `off`: no webhook.",
        expects="own, provided or off",
        parse=_one_of(WebhookMode, change=str.lower),
    )
    webhook_service: str = _setting(
        "WEBHOOK_SERVICE", "claude-mem-operator-webhook", "Service under which API servers reach the webhook."
    )
    webhook_configuration: str = _setting(
        "WEBHOOK_CONFIGURATION",
        "claude-mem-operator",
        "ValidatingWebhookConfiguration whose `caBundle` the operator keeps, with `own`.",
    )
    webhook_secret: str = _setting(
        "WEBHOOK_SECRET", "claude-mem-operator-webhook-cert", "Secret with the webhook's certificate and key."
    )
    webhook_ca_secret: str = _setting(
        "WEBHOOK_CA_SECRET",
        "claude-mem-operator-webhook-ca",
        "Secret with the operator's authority, with `own`.",
    )
    cluster_domain: str = _setting(
        "CLUSTER_DOMAIN", "cluster.local", "Domain of the cluster, for the certificate's names."
    )
    webhook_port: int = _port("LISTEN_WEBHOOK", "9443", "Where the webhook listens.")
    metrics_port: int = _port("LISTEN_METRICS", "8080", "Where `/metrics` is.")
    probes_port: int = _port("LISTEN_PROBES", "8081", "Where `/healthz` and `/readyz` are.")

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Config:
        """The settings of an environment, this process's unless given. What is blank is unset.

        Raises ConfigInvalid with every value that means nothing, and every variable with the operator's prefix
        that it does not know.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems: list[str] = []
        for one in fields(cls):
            setting: Setting = one.metadata["setting"]
            text = environ.get(setting.variable, "").strip()
            if text:
                try:
                    values[one.name] = setting.parse(text)
                except ValueError as error:
                    problems.append(f"{setting.variable}: {error}; write {setting.expects}")
        known = {setting.variable for setting in settings()}
        problems += [
            f"{name}: there is no such setting; remove it or correct its name"
            for name in sorted(environ)
            if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.search(name)
        ]
        if problems:
            raise ConfigInvalid("the operator's environment is invalid:\n" + "\n".join(problems))
        values["namespace"] = values.get("namespace") or _own_namespace()
        values["identity"] = values.get("identity") or socket.gethostname()
        return cls(**values)


def settings() -> tuple[Setting, ...]:
    """Every setting, in the order in which they are told of."""
    return tuple(one.metadata["setting"] for one in fields(Config))


def _own_namespace() -> str:
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return "default"
