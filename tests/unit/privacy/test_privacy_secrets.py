"""Secrets that identify themselves go, whatever surrounds them; ids, hashes and ordinary code stay.

No secret is written out here, so that scanners of the repository find none: each is put together.
"""

from __future__ import annotations

import base64
import json

import pytest

from claude_mem.model.identity import new_api_key
from claude_mem.privacy import may_contain_private, redact_text
from claude_mem.privacy.formats import FORMATS

_MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA" * 8
_HEX = "0123456789abcdef" * 16
_DIGITS = "123456789012"


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


_JWT = f"{_b64({'alg': 'HS256', 'typ': 'JWT'})}.{_b64({'sub': '1'})}.{_MIXED[:43]}"
_PEM = "\n".join(
    [
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        *[_MIXED[:64]] * 3,
        _MIXED[:20] + "==",
        "-----END RSA PRIVATE " + "KEY-----",
    ]
)

_SECRETS = [
    ("anthropic", "sk-" + "ant-api03-" + _MIXED[:93] + "AA"),
    ("openai", "sk-" + "proj-" + _MIXED[:60] + "_" + _MIXED[:60]),
    ("openai", "sk-" + "svcacct-" + _MIXED[:60]),
    ("openai", "sk-" + "admin-" + _MIXED[:60]),
    ("openai", "sk-" + _MIXED[:48]),
    ("openrouter", "sk-" + "or-v1-" + _HEX[:64]),
    ("langfuse", "sk-" + "lf-" + "12345678-1234-1234-1234-123456789012"),
    ("google", "AIz" + "aSy" + _MIXED[:33]),
    ("google", "AQ." + "Ab8RN6" + _MIXED[:44]),
    ("google", "ya29." + _MIXED[:100]),
    ("google", "GOCSPX-" + _MIXED[:28]),
    ("groq", "gsk_" + _MIXED[:52]),
    ("xai", "xai-" + _MIXED[:80]),
    ("perplexity", "pplx-" + _MIXED[:48]),
    ("nvidia", "nvapi-" + _MIXED[:64]),
    ("replicate", "r8_" + _MIXED[:37]),
    ("huggingface", "hf_" + _MIXED[:34]),
    ("huggingface", "api_org_" + _MIXED[:34]),
    ("langsmith", "lsv2_" + "pt_" + _HEX[:32] + "_" + _HEX[:10]),
    ("pinecone", "pcsk_" + _MIXED[:60]),
    ("tavily", "tvly-" + "dev-" + _MIXED[:32]),
    ("aws", "AKI" + "AIOSFODNN7EXAMPLE"),
    ("aws", "ASI" + "AIOSFODNN7EXAMPLE"),
    ("aws", "ABSK" + _MIXED[:110] + "=="),
    ("aws", "bedrock-api-" + "key-" + _MIXED[:100]),
    ("digitalocean", "dop" + "_v1_" + _HEX[:64]),
    ("heroku", "HRKU-" + _MIXED[:40]),
    ("supabase", "sbp_" + _HEX[:40]),
    ("supabase", "sb_" + "secret_" + _MIXED[:30]),
    ("planetscale", "pscale_" + "tkn_" + _MIXED[:43]),
    ("tailscale", "tskey-" + "auth-" + _MIXED[:17] + "-" + _MIXED[:32]),
    *(("github", prefix + _MIXED[:36]) for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("github", "github_" + "pat_" + _MIXED[:22] + "_" + _MIXED[:59]),
    *(("gitlab", f"{prefix}-" + _MIXED[:20]) for prefix in ("glpat", "gldt", "glsoat", "glagent", "glcbt")),
    ("gitlab", "glpat-" + _MIXED[:27] + ".01." + _MIXED[:9]),
    ("npm", "npm_" + _MIXED[:36]),
    ("pypi", "pypi-" + "AgEIcHlwaS5vcmc" + _MIXED[:80]),
    ("rubygems", "rubygems_" + _HEX[:48]),
    ("docker", "dckr_" + "pat_" + _MIXED[:27]),
    ("slack", f"xoxb-{_DIGITS}-{_DIGITS}-{_MIXED[:24]}"),
    ("slack", f"xoxe.xoxp-1-{_MIXED[:60]}"),
    ("slack", f"xapp-1-A{_DIGITS}-{_DIGITS}-{_HEX[:64]}"),
    ("slack", "hooks.slack.com/" + f"services/T{_DIGITS}/B{_DIGITS}/{_MIXED[:24]}"),
    ("discord", f"discord.com/api/webhooks/{_DIGITS}/{_MIXED[:68]}"),
    *(("stripe", f"{prefix}_{mode}_" + _MIXED[:24]) for prefix in ("sk", "rk") for mode in ("live", "test")),
    ("stripe", "whsec_" + _MIXED[:32]),
    ("sendgrid", "SG." + _MIXED[:22] + "." + _MIXED[:43]),
    ("twilio", "SK" + _HEX[:32]),
    ("square", "sq0atp-" + _MIXED[:22]),
    ("shopify", "shpat_" + _HEX[:32]),
    ("atlassian", "ATATT" + "3xFfGF0" + _MIXED[:100] + "=1A2B3C4D"),
    ("linear", "lin_" + "api_" + _MIXED[:40]),
    ("notion", "ntn_" + _MIXED[:46]),
    ("figma", "figd_" + _MIXED[:40]),
    ("grafana", "glsa_" + _MIXED[:32] + "_" + _HEX[:8]),
    ("grafana", "glc_" + "eyJ" + _MIXED[:60]),
    ("sentry", "sntrys_" + _MIXED[:60]),
    ("posthog", "phx_" + _MIXED[:43]),
    ("newrelic", "NRAK-" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ1"),
    ("postman", "PMAK-" + _HEX[:24] + "-" + _HEX[:34]),
    ("vault", "hvs." + _MIXED[:90]),
    ("doppler", "dp.pt." + _MIXED[:43]),
    ("onepassword", "ops_" + "eyJ" + _MIXED[:200]),
    ("age", "AGE-SECRET-" + "KEY-1" + "QPZRY9X8GF" * 5 + "2TVDW0S3"),
    ("claude-mem", new_api_key("http")),
    ("claude-mem", new_api_key("cli")),
    ("claude-mem", "cmem_" + _MIXED[:43]),
    ("jwt", _JWT),
    ("jwt", f"{_b64({'alg': 'none'})}.{_b64({'sub': 'x'})}"),
    (
        "jwt",
        f"{_b64({'alg': 'dir', 'enc': 'A256GCM'})}..{_MIXED[:16]}.{_MIXED[:50]}.{_MIXED[:22]}",
    ),
    ("private-key", _PEM),
    ("private-key", _PEM.replace("\n", "\\n")),
    ("private-key", _PEM.replace("RSA ", "")),
    ("private-key", _PEM.replace("RSA", "OPENSSH")),
    ("private-key", _PEM.replace("RSA ", "PGP ").replace("KEY-", "KEY BLOCK-")),
]


def _name(secret: tuple[str, str]) -> str:
    # No more of it, for what follows is random in some, and every process that runs tests names them alike.
    return f"{secret[0]}-{secret[1][:3]}"


def test_every_format_has_an_example() -> None:
    kinds = {kind for kind, _ in _SECRETS} | {"url-password"}
    assert {form.kind for form in FORMATS} <= kinds


@pytest.mark.parametrize("secret", _SECRETS, ids=_name)
@pytest.mark.parametrize(
    "surroundings",
    [
        "{}",
        "key={} ",
        '"{}",',
        "({})",
        "export KEY='{}'\n",
        "\\n{}\\n",
        "x%3D{}&y",
        "\x1b[31m{}\x1b[0m",
        "\u00e9 {}",
        "\t{};",
    ],
)
def test_a_secret_goes_and_its_surroundings_stay(secret: tuple[str, str], surroundings: str) -> None:
    kind, raw = secret
    text = surroundings.replace("{}", raw)
    assert redact_text(text) == (surroundings.replace("{}", f"[REDACTED:{kind}]"), {kind: 1})


@pytest.mark.parametrize("secret", _SECRETS, ids=_name)
def test_what_was_redacted_is_left_alone(secret: tuple[str, str]) -> None:
    once, _ = redact_text(f"a {secret[1]} b {secret[1]}")
    assert redact_text(once) == (once, {})
    assert not may_contain_private(once)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgres://app:s3cr3t@db:5432/x?sslmode=require", "postgres://app:{}@db:5432/x?sslmode=require"),
        ("redis://:s3cr3t@cache/0", "redis://:{}@cache/0"),
        ("git clone https://me:to-ken@example.org/r.git.", "git clone https://me:{}@example.org/r.git."),
        ("amqp://u:p%40ss@h1,amqp://v:q@h2", "amqp://u:{}@h1,amqp://v:{}@h2"),
        ("mongodb+srv://u:p@ss@h1:27017", "mongodb+srv://u:{}@h1:27017"),
        ('{"url":"http://u:p@[::1]:80/"}', '{"url":"http://u:{}@[::1]:80/"}'),
    ],
)
def test_of_a_url_only_the_password_goes(text: str, left: str) -> None:
    redacted, counts = redact_text(text)
    assert redacted == left.replace("{}", "[REDACTED:url-password]")
    assert counts == {"url-password": left.count("{}")}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"a\n{_PEM[:-20]}", "a\n[REDACTED:private-key]"),
        (_PEM[: len(_PEM) // 2], "[REDACTED:private-key]"),
        (f"{_PEM}\nand {_PEM}", "[REDACTED:private-key]\nand [REDACTED:private-key]"),
        (
            _PEM.replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1),
            "[REDACTED:private-key]",
        ),
        (
            "\n".join(f"{n:6}\u2192{line}" for n, line in enumerate(_PEM.split("\n"))),
            "     0\u2192[REDACTED:private-key]",
        ),
    ],
    ids=["edge cut", "half", "two", "fields", "numbered lines"],
)
def test_private_keys(text: str, left: str) -> None:
    redacted, counts = redact_text(text)
    body = _MIXED[:20]
    assert body not in redacted
    assert redacted.startswith(left)
    assert set(counts) == {"private-key"}


_ORDINARY = [
    "3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256:" + _HEX[:64],
    "0b9c0f0e-3d5a-4c1f-9a57-2f6d1f0c8e44",
    "agent_event:v1:" + _HEX[:64],
    "evt_" + _HEX[:64],
    _MIXED,
    base64.b64encode(_MIXED.encode()).decode(),
    "integrity sha512-" + _MIXED[:86] + "==",
    "task-1234567890abcdefghijklmnop",
    "risk-abcdef1234567890abcdef1234567890",
    "desk-proj-aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "sk-loading-indicator-container-wrapper",
    "sk-admin-dashboard-component-layout-main",
    "sk-ant-...",
    "sk-ant-your-key",
    "npm_config_registry_and_some_other_long_names",
    "ghp_short",
    "hf_hub_download_with_retries_and_more_names",
    "AKIA",
    "XAKIAIOSFODNN7EXAMPLE",
    "AKIAIOSFODNN7EXAMPLELONGER",
    "SKU" + _HEX[:32],
    "SG.Configuration.Something",
    "cm_per_inch",
    "pypi-simple-index-of-packages-and-their-names",
    "cmem_server",
    "eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbXX0.map.js",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
    "eyJ" + "[" * 50,
    "eyJ" + base64.urlsafe_b64encode(b"[" * 9000).decode() + ".a.b",
    "https://example.org/a:b@c",
    "http://localhost:8080/@scope/pkg",
    "http://host:80?x=a@b",
    "http://localhost:3000,admin@example.org",
    "https://user@example.org:443/x",
    "ssh://git@example.org:22/r.git",
    "git@example.org:team/repo.git",
    "postgres://${USER}:${PASSWORD}@host/db",
    "postgres://u:$PASSWORD@host/db",
    "postgres://{user}:{password}@{host}/db",
    "postgres://{{ user }}:{{password}}@host",
    "postgres://%s:%s@%s/db",
    "postgres://u:***@host/db",
    "postgres://u:xxxxx@host/db",
    "http://a:@host",
    "Stories: 12:30@cafe",
    "if '-----BEGIN RSA PRIVATE KEY-----' in text:",
    "-----BEGIN PRIVATE KEY----- is the header, said she",
    "-----BEGIN CERTIFICATE-----\n" + _MIXED[:64] + "\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\n" + _MIXED[:64] + "\n-----END PUBLIC KEY-----",
    "password = hunter2",
    "API_KEY=abc123",
    "https://hooks.slack.com/",
    "[REDACTED:github]",
    "  spaces  \n",
]


@pytest.mark.parametrize("text", _ORDINARY, ids=lambda text: text[:24])
@pytest.mark.parametrize("surroundings", ["{}", "see {} there", "\n{}\n", "'{}'"])
def test_ordinary_text_is_the_identical_object(text: str, surroundings: str) -> None:
    whole = surroundings.replace("{}", text)
    left, counts = redact_text(whole)
    assert left is whole
    assert counts == {}
