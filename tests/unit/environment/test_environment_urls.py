"""What is said of a URL, and what a person may see of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.environment.urls import http_problem, postgres_problem, redis_problem, ssl_mode_of
from claude_mem.environment.values import redacted_url, shown

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("problem", "url"),
    [
        (postgres_problem, "POSTGRES://h/d"),
        (postgres_problem, "postgresql://u:p%40ss@h:5432/d?application_name=x&sslmode=allow"),
        (postgres_problem, "postgresql://%2Frun%2Fpostgresql/d"),
        (redis_problem, "redis://h"),
        (redis_problem, "redis://h:6379/"),
        (redis_problem, "rediss://user:p%23@[::1]:6380/3"),
        (redis_problem, "redis://h?db=2"),
        (redis_problem, "rediss://h?ssl_ca_certs=/ca.pem"),
        (redis_problem, "redis://h/1?socket_timeout=2.5&max_connections=8&client_name=memory&protocol=&foo="),
        (redis_problem, "rediss://h?retry_on_timeout=true&ssl_cert_reqs=none&ssl_min_version=771"),
        (http_problem, "https://gateway.example.com/v1"),
        (http_problem, "http://[::1]:8080"),
    ],
)
def test_good_urls(problem: Callable[[str], str | None], url: str) -> None:
    assert problem(url) is None


@pytest.mark.parametrize(
    ("problem", "url", "fragment"),
    [
        (postgres_problem, "localhost:5432/d", "postgres:// or postgresql://"),
        (postgres_problem, "postgres://h/d?sslmode", "name=value"),
        (postgres_problem, "postgres://h/d?sslmode=maybe", "sslmode"),
        (postgres_problem, "postgres://u:a@b@h/d", "more than one @"),
        (postgres_problem, "postgres://u:a/b@h/d", "behind the host"),
        (postgres_problem, "postgres://u:a#b@h/d", "#"),
        (postgres_problem, "postgres://u:a b@h/d", "space"),
        (postgres_problem, "postgres://h1:1,h2:x/d", "port"),
        (redis_problem, "redis://h1,h2/0", "more than one host"),
        (redis_problem, "redis://h?db=x", "database"),
        (redis_problem, "redis://h?db=1&ssl_ca_certs=/ca.pem", "begin it with rediss://"),
        (redis_problem, "redis://h/0/1", "database"),
        (redis_problem, "redis://h/0?family=0", "it knows client_name, db,"),
        (redis_problem, "redis://h/0?retry=3", "an option that the client does not know"),
        (redis_problem, "redis://h/0?socket_timeout=soon", "its socket_timeout is not"),
        (redis_problem, "redis://h/0?socket_connect_timeout=0.0", "its socket_connect_timeout is not"),
        (redis_problem, "redis://h/0?max_connections=0", "its max_connections is not"),
        (redis_problem, "redis://h/0?protocol=4", "its protocol is not"),
        (redis_problem, "rediss://h/0?ssl_cert_reqs=require", "its ssl_cert_reqs is not"),
        (http_problem, "https://", "one host"),
        (http_problem, "https://:443/v1", "one host"),
        (http_problem, "https://h:port", "port"),
        (http_problem, "ftp://h", "http:// or https://"),
    ],
)
def test_bad_urls(problem: Callable[[str], str | None], url: str, fragment: str) -> None:
    assert fragment in (problem(url) or "")


def test_the_tls_mode_of_a_url() -> None:
    assert ssl_mode_of("postgres://h/d") is None
    assert ssl_mode_of("postgres://h/d?sslmode=require&sslmode=verify-ca") == "verify-ca"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgres://user:pw@db.example.com:5432/memory", "postgres://***@db.example.com:5432/memory"),
        ("postgres://h1:1,h2:2/d?password=pw", "postgres://h1:1,h2:2/d?***"),
        ("redis://:pw@[::1]:6379/0", "redis://***@[::1]:6379/0"),
        ("redis://h", "redis://h"),
        ("postgres://u:a/pw@h/d", "postgres://***"),
        ("not a url", "***"),
    ],
)
def test_what_is_seen_of_a_url(url: str, seen: str) -> None:
    assert redacted_url(url) == seen
    if "://" in url:
        assert shown(url) == seen


@given(password=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40))
def test_no_password_is_ever_seen(password: str) -> None:
    """Escaped or not, whatever punctuation it holds."""
    seen = redacted_url(f"postgres://user:{password}@host.example.com:5432/memory")
    assert seen in {"postgres://***@host.example.com:5432/memory", "postgres://***"}
