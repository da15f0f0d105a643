"""What is wrong with a URL: of PostgreSQL, of Redis or Valkey, or of an HTTP endpoint; and what it says of TLS.

Each function answers None for a good URL, else a clause that fits after "…, because". No clause repeats a
part of the URL, for any part of a malformed one may be its password. Whether anything answers there is left
to others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
REDIS_SCHEMES = frozenset({"redis", "rediss"})
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# node-postgres reads `no-verify` in a URL; libpq calls the same thing `require`.
SSL_MODE_ALIASES = {"no-verify": "require"}

_TEXT = re.compile(r".*")
_WHOLE = re.compile(r"[0-9]{1,9}")
_COUNT = re.compile(r"0*[1-9][0-9]{0,8}")
_SECONDS = re.compile(r"(?=.*[1-9])[0-9]{1,9}(?:\.[0-9]{1,9})?")
#: Options of a Redis URL that the client knows and a text can hold, and what each may be; an empty one is as if not given.
REDIS_OPTIONS = {
    **dict.fromkeys(
        ("client_name", "db", "encoding", "encoding_errors", "legacy_responses", "lib_name"), _TEXT
    ),
    **dict.fromkeys(("lib_version", "password", "retry_on_timeout", "socket_keepalive", "username"), _TEXT),
    **dict.fromkeys(
        ("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_certfile", "ssl_check_hostname"), _TEXT
    ),
    **dict.fromkeys(
        ("ssl_ciphers", "ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile"), _TEXT
    ),
    **dict.fromkeys(("ssl_password", "ssl_validate_ocsp", "ssl_validate_ocsp_stapled"), _TEXT),
    **dict.fromkeys(("health_check_interval", "ssl_min_version"), _WHOLE),
    **dict.fromkeys(("max_connections", "socket_read_size"), _COUNT),
    **dict.fromkeys(("socket_connect_timeout", "socket_timeout"), _SECONDS),
    "protocol": re.compile(r"[23]"),
    "ssl_cert_reqs": re.compile(r"none|optional|required"),
}

_HOST = re.compile(r"(?:\[[^\[\]]+\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")


class _Parts:
    """Scheme, hosts, path and query as written; nothing is decoded."""

    def __init__(self, url: str) -> None:
        scheme, self.separator, rest = url.strip().partition("://")
        self.scheme = scheme.lower()
        rest, _, self.query = rest.partition("?")
        authority, _, self.path = rest.partition("/")
        self.userinfo, _, self.hosts = authority.rpartition("@")

    def parameter(self, name: str) -> str | None:
        """The last value of query parameter `name`."""
        return parse_qs(self.query, keep_blank_values=True).get(name, [None])[-1]


def postgres_problem(url: str) -> str | None:
    """Why asyncpg could not use `url`, or None."""
    parts = _Parts(url)
    problem = (
        _scheme_problem(parts, POSTGRES_SCHEMES) or _character_problem(parts, url) or _ports_problem(parts)
    )
    if problem is not None:
        return problem
    if "@" in parts.userinfo:
        return "it holds more than one @ (in a password, write @ as %40)"
    try:
        parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return "its parameters, after the question mark, are not name=value pairs"
    mode = parts.parameter("sslmode")
    if mode is not None and normal_ssl_mode(mode) is None:
        return f"its sslmode is none of {', '.join(SSL_MODES)}"
    return None


def redis_problem(url: str) -> str | None:
    """Why a Redis client could not use `url`, or None."""
    parts = _Parts(url)
    problem = _scheme_problem(parts, REDIS_SCHEMES) or _character_problem(parts, url) or _ports_problem(parts)
    if problem is not None:
        return problem
    if "," in parts.hosts:
        return "it names more than one host"
    options = parse_qs(parts.query)
    if not options.keys() <= REDIS_OPTIONS.keys():
        return f"it has an option that the client does not know (it knows {', '.join(sorted(REDIS_OPTIONS))})"
    if parts.scheme == "redis" and any(name.startswith("ssl_") for name in options):
        return "it has options of TLS, which redis:// is not (begin it with rediss://)"
    for name, values in options.items():
        if not all(REDIS_OPTIONS[name].fullmatch(value) for value in values):
            return f"its {name} is not what the client takes for one"
    database = parts.parameter("db")
    for number in (parts.path.rstrip("/"), database if database is not None else ""):
        if number and not (number.isascii() and number.isdigit()):
            return "its database, after the last slash, is not a number"
    return None


def http_problem(url: str) -> str | None:
    """Why `url` is no address of an HTTP endpoint, or None."""
    parts = _Parts(url)
    problem = _scheme_problem(parts, frozenset({"http", "https"})) or _character_problem(parts, url)
    if problem is not None:
        return problem
    if not parts.hosts or parts.hosts.startswith(":") or "," in parts.hosts:
        return "it does not name one host"
    return _ports_problem(parts)


def ssl_mode_of(url: str) -> str | None:
    """The TLS mode that a PostgreSQL URL asks for, in libpq's words; None where it asks for none."""
    mode = _Parts(url).parameter("sslmode")
    return None if mode is None else normal_ssl_mode(mode)


def ssl_root_cert_of(url: str) -> str | None:
    """The file of authorities that a PostgreSQL URL names, or None."""
    return _Parts(url).parameter("sslrootcert") or None


def hosts_of(url: str) -> tuple[str, ...]:
    """The hosts of a PostgreSQL URL and the directories of its sockets, with their ports; none where it names none."""
    parts = _Parts(url)
    return tuple(unquote(host) for host in (parts.hosts or parts.parameter("host") or "").split(",") if host)


def names_service(url: str) -> bool:
    """Whether a PostgreSQL URL leaves what it does not say to a section of a service file."""
    return bool(_Parts(url).parameter("service"))


def speaks_tls(url: str) -> bool:
    """Whether a Redis URL asks for TLS."""
    return _Parts(url).scheme == "rediss"


def checks_no_certificate(url: str) -> bool:
    """Whether a Redis URL asks that no certificate be checked; of several values the client takes the first."""
    return parse_qs(_Parts(url).query).get("ssl_cert_reqs", [""])[0] == "none"


def with_redis_authorities(url: str, file: str) -> str:
    """A Redis URL that names the file of authorities, if it speaks TLS and names none itself."""
    if not speaks_tls(url) or _Parts(url).parameter("ssl_ca_certs") is not None:
        return url
    return f"{url.strip()}{'&' if '?' in url else '?'}ssl_ca_certs={quote(file, safe='/')}"


def normal_ssl_mode(mode: str) -> str | None:
    """`mode` in libpq's words, or None where it is no TLS mode."""
    known = SSL_MODE_ALIASES.get(mode.strip().lower(), mode.strip().lower())
    return known if known in SSL_MODES else None


def _scheme_problem(parts: _Parts, allowed: AbstractSet[str]) -> str | None:
    if parts.separator and parts.scheme in allowed:
        return None
    return f"it does not begin with {' or '.join(f'{scheme}://' for scheme in sorted(allowed))}"


def _character_problem(parts: _Parts, url: str) -> str | None:
    if "#" in url:
        return "it holds a # (in a password, write %23)"
    if "@" in parts.path or "@" in parts.query:
        return "it holds an @ behind the host (in a password, write / as %2F, ? as %3F and @ as %40)"
    if any(character.isspace() or not character.isprintable() for character in url.strip()):
        return "it holds a space or a control character (in a password, write it as % and two hex digits)"
    return None


def _ports_problem(parts: _Parts) -> str | None:
    for host in parts.hosts.split(","):
        match = _HOST.fullmatch(host)
        port = None if match is None else match["port"]
        if match is None or (port and not _is_port(port)):
            return (
                "its port is not a number from 1 to 65535 "
                "(in a password, write / as %2F, ? as %3F, @ as %40 and : as %3A)"
            )
    return None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535
