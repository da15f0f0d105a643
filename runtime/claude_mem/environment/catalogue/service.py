"""Variables of the process itself: what it is, where it listens, its database, queue, files and log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from claude_mem.environment import kinds, numeric
from claude_mem.environment.urls import SSL_MODES
from claude_mem.environment.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

PROCESS = "Process"
HTTP = "HTTP"
DATABASE = "Database"
QUEUE = "Queue"
PATHS = "Files"
LOG = "Log"

FIRST_PORT = 37_877
# The offset where the system knows no user ids.
PORT_OFFSET_WITHOUT_UID = 77


def _default_port(_environ: Mapping[str, str]) -> int:
    getuid = getattr(os, "getuid", None)
    return FIRST_PORT + (PORT_OFFSET_WITHOUT_UID if getuid is None else getuid() % 100)


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "").strip() or os.path.expanduser("~")
    return Path(home) / ".claude-mem" if Path(home).is_absolute() else Path("/var/lib/claude-mem")


RUNTIME = kinds.optional_text(
    "CLAUDE_MEM_RUNTIME",
    group=PROCESS,
    expects="server or server-beta, in lower case",
    default_text="server",
    judged=True,
    meaning="Which runtime this is. Images state it, so that one started as something else is noticed.",
)
DOCKER = kinds.switch(
    "CLAUDE_MEM_DOCKER",
    group=PROCESS,
    meaning=(
        "1 declares a container. 0 declares a development machine: the marker files of Docker and Podman "
        "then count for nothing, all other signs of a container still do."
    ),
)
MANAGED = kinds.switch(
    "CLAUDE_MEM_MANAGED",
    group=PROCESS,
    meaning="Shown in /api/health, for supervisors that mark the servers they started.",
)

SERVER_HOST = kinds.word(
    "CLAUDE_MEM_SERVER_HOST",
    group=HTTP,
    default="127.0.0.1",
    pattern=r"[A-Za-z0-9._:%-]{1,255}",
    expects="an address or host name of this machine",
    meaning="The address to listen on. Loopback, until somebody decides to open it; images set 0.0.0.0.",
)
SERVER_PORT = numeric.count(
    "CLAUDE_MEM_SERVER_PORT",
    group=HTTP,
    default=_default_port,
    default_text="37877 + user id mod 100",
    unit="TCP port",
    maximum=65_535,
    meaning=(
        "The port to listen on. The default differs by user, so that people who share a machine do not "
        "collide."
    ),
)
PUBLIC_URL = kinds.web_address(
    "CLAUDE_MEM_PUBLIC_URL",
    group=HTTP,
    meaning="How clients reach the server, for the links it hands out. Unset: the request's own host.",
)
BODY_LIMIT_BYTES = numeric.count(
    "CLAUDE_MEM_BODY_LIMIT_BYTES",
    group=HTTP,
    default=5 * 1024 * 1024,
    unit="bytes",
    minimum=1024,
    meaning=(
        "The largest request body; a larger one is answered with 413. The 5 MiB are what clients rely on."
    ),
)
IMPORT_SPOOL_BYTES = numeric.count(
    "CLAUDE_MEM_IMPORT_SPOOL_BYTES",
    group=HTTP,
    default=48 * 1024 * 1024,
    unit="bytes",
    minimum=1024,
    meaning=(
        "What imports with strict=true or dryRun=true may keep of their uploads, all together, in the directory of "
        "temporary files; a longer one is answered with 413. Fits the 64 MiB that containers have there. Other "
        "imports keep nothing, and may be of any length."
    ),
)
CORS_ORIGINS = kinds.origins(
    "CLAUDE_MEM_CORS_ORIGINS",
    group=HTTP,
    meaning="Browser origins admitted beside http://localhost:… and http://127.0.0.1:…, which always are.",
)
WAIT_TIMEOUT_MS = numeric.count(
    "CLAUDE_MEM_WAIT_TIMEOUT_MS",
    group=HTTP,
    default=30_000,
    unit="milliseconds",
    maximum=600_000,
    meaning="How long ?wait=true waits for generation before it answers with the job as it stands.",
)

METRICS_TOKEN = kinds.secret(
    "CLAUDE_MEM_METRICS_TOKEN",
    group=HTTP,
    meaning=(
        "Whoever asks for /metrics must send it as a bearer token. Unset, anybody may: nothing there tells of a "
        "team or of what is remembered."
    ),
)

DATABASE_URL = kinds.secret(
    "CLAUDE_MEM_SERVER_DATABASE_URL",
    group=DATABASE,
    expects="a postgres:// or postgresql:// URL",
    meaning="The PostgreSQL database. Required in every deployment; local development uses SQLite instead.",
)
POOL_MAX = numeric.count(
    "CLAUDE_MEM_POSTGRES_POOL_MAX",
    group=DATABASE,
    default=10,
    unit="connections",
    maximum=1000,
    meaning="Connections of one process; all processes together stay below the server's max_connections.",
)
POOL_IDLE_TIMEOUT_MS = numeric.count(
    "CLAUDE_MEM_POSTGRES_IDLE_TIMEOUT_MS",
    group=DATABASE,
    default=30_000,
    unit="milliseconds",
    meaning="After how long without use a connection is closed.",
)
POOL_CONNECTION_TIMEOUT_MS = numeric.count(
    "CLAUDE_MEM_POSTGRES_CONNECTION_TIMEOUT_MS",
    group=DATABASE,
    default=5_000,
    unit="milliseconds",
    meaning=(
        "How long to wait for a connection: short enough for a start without a database to fail within 10 s."
    ),
)
POOL_STATEMENT_TIMEOUT_MS = numeric.count(
    "CLAUDE_MEM_POSTGRES_STATEMENT_TIMEOUT_MS",
    group=DATABASE,
    default=30_000,
    unit="milliseconds",
    meaning=(
        "After how long PostgreSQL gives a statement up. One that hangs gives nothing up; its connection is then dropped "
        "CLAUDE_MEM_POSTGRES_CONNECTION_TIMEOUT_MS later, and the request is answered with 503."
    ),
)
_SSL_CHOICES = f"one of {', '.join(SSL_MODES)}"
POSTGRES_SSL = kinds.optional_text(
    "CLAUDE_MEM_POSTGRES_SSL",
    group=DATABASE,
    expects=_SSL_CHOICES,
    default_text="the URL's sslmode, else PGSSLMODE, else prefer",
    judged=True,
    meaning=(
        "TLS to PostgreSQL. prefer encrypts where the server can, require insists; verify-ca and verify-full "
        "also check the certificate. Nothing is encrypted on a Unix socket, whatever is set."
    ),
)
PGSSLMODE = kinds.optional_text(
    "PGSSLMODE",
    group=DATABASE,
    expects=_SSL_CHOICES,
    judged=True,
    meaning="PostgreSQL's own variable for the same, read last.",
)
PGSSLROOTCERT = kinds.optional_path(
    "PGSSLROOTCERT",
    group=DATABASE,
    expects="a file of certificates",
    default_text="the URL's sslrootcert wins; else the system's authorities",
    meaning="Whom verify-ca and verify-full trust. PostgreSQL's own variable.",
)

QUEUE_ENGINE = kinds.optional_text(
    "CLAUDE_MEM_QUEUE_ENGINE",
    group=QUEUE,
    expects="dramatiq (also written bullmq), or in-process (also written sqlite), in any case",
    default_text="in-process in local development, else no queue",
    judged=True,
    meaning="What carries jobs to the workers. Containers must name dramatiq; in-process is for development.",
)
REDIS_URL = kinds.secret(
    "CLAUDE_MEM_REDIS_URL",
    group=QUEUE,
    expects="a redis:// or rediss:// URL",
    meaning="The Valkey or Redis of the queue; rediss:// means TLS. Required with the engine dramatiq.",
)
REDIS_CA_FILE = kinds.optional_path(
    "CLAUDE_MEM_REDIS_CA_FILE",
    group=QUEUE,
    expects="a file of certificates",
    default_text="the URL's ssl_ca_certs wins; else the system's authorities",
    meaning="Whom rediss:// trusts, unless the URL says ssl_cert_reqs=none, by which it trusts anybody.",
)
QUEUE_REDIS_PREFIX = kinds.word(
    "CLAUDE_MEM_QUEUE_REDIS_PREFIX",
    group=QUEUE,
    default="claude_mem",
    pattern=r"[A-Za-z0-9_.:-]{1,64}",
    expects="1 to 64 letters, digits, dots, colons, dashes or underscores",
    meaning=(
        "The prefix of every key. One constant, so that servers and workers meet without agreeing on a port."
    ),
)

DATA_DIR: Variable[Path] = Variable(
    name="CLAUDE_MEM_DATA_DIR",
    group=PATHS,
    expects="a directory",
    parse=kinds.read_path,
    default=_default_data_dir,
    default_text="~/.claude-mem",
    meaning="State files, settings.json, own modes, and in local development the SQLite database.",
)
MODES_DIR = kinds.optional_path(
    "CLAUDE_MEM_MODES_DIR",
    group=PATHS,
    meaning="Searched for modes first, before the data directory and those that come with the product.",
)

OTLP_ENDPOINT = kinds.web_address(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    group=LOG,
    meaning=(
        "Where traces are sent, by OTLP over HTTP to /v1/traces under this address. Unset: nothing is traced. "
        "OpenTelemetry's own variable; its SDK reads further ones, such as OTEL_EXPORTER_OTLP_HEADERS and "
        "OTEL_TRACES_SAMPLER."
    ),
)
LOG_LEVEL = kinds.choice(
    "CLAUDE_MEM_LOG_LEVEL",
    group=LOG,
    choices=("DEBUG", "INFO", "WARN", "ERROR"),
    default="INFO",
    meaning="The least severe messages that are written.",
)
LOG_FORMAT = kinds.choice(
    "CLAUDE_MEM_LOG_FORMAT",
    group=LOG,
    choices=("text", "json"),
    default="text",
    meaning="text for people, json (one object a line) for collectors.",
)
