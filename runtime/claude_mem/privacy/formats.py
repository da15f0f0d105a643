"""The formats of secrets that identify themselves, as one table, and the expression that finds them all.

There is no guessing here: a format stands in the table only if its issuer gave it a prefix (or a structure)
that nothing else has. Entropy and keywords decide nothing, so commit hashes, UUIDs and ids pass.

How it is fast: `re` jumps to the next character of one set quickly and does everything else slowly. So the
search does not begin with the prefixes, whose first letters are everywhere, but with their last character,
the anchor, which is rare in text; a look behind it then tells whether a prefix ends there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

# A secret follows something that is no part of a word: or an escape (of JSON, URLs, terminals) whose last
# character is a letter.
_AFTER_ESCAPE: Final = (
    r"(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2})|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m)"
)
_WORD_START: Final = rf"(?:(?<![A-Za-z0-9])|{_AFTER_ESCAPE})"
# For a body that may prove wrong after any length: no second attempt may begin inside the text that the first
# one read.
_RUN_START: Final = rf"(?:(?<![A-Za-z0-9_-])|{_AFTER_ESCAPE})"

_WORD_END: Final = r"(?![A-Za-z0-9])"
_RUN_END: Final = r"(?![A-Za-z0-9_-])"
# What ends the user information of a URL, in running text too: no quotes, brackets, slashes, white space or
# control characters.
_URL_END: Final = r"""\x00-\x20\x7f\s"'`<>\\/?#"""
# A reference to a variable, a format placeholder, a mask: these say that the password is elsewhere.
_PLACEHOLDER: Final = (
    r"(?!(?:\[REDACTED:[a-z-]*\]|\$\{[^{}@\s]*\}|\$\([^()@\s]*\)|\$[A-Za-z_][A-Za-z0-9_]*|\{\{?[^{}@\s]*\}?\}"
    r"|%s|%\([A-Za-z0-9_]*\)s|\*+|[xX]{3,}|\.{3})@|[0-9]{1,5}[,;)])"
)


# Where a body could be an identifier in snake or kebab case, a digit tells the difference. Bounded, so that
# it cannot read far for nothing.
_DIGIT: Final = r"(?=[A-Za-z_-]{0,40}[0-9])"


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretFormat:
    """One format: any of `prefixes`, where `start` allows one, and then `body`.

    The last character of a prefix is the anchor of the search, and so should be rare in ordinary text.
    """

    kind: str
    prefixes: tuple[str, ...]
    body: str
    start: str


def _format(kind: str, prefixes: str, body: str, start: str = _WORD_START) -> SecretFormat:
    return SecretFormat(kind=kind, prefixes=tuple(prefixes.split()), body=body, start=start)


FORMATS: Final = (
    # Model providers
    _format("anthropic", "sk-ant-", r"[A-Za-z0-9_-]{20,}"),
    _format("openai", "sk-proj- sk-svcacct-", r"[A-Za-z0-9_-]{20,}"),
    _format("openai", "sk-admin-", rf"{_DIGIT}[A-Za-z0-9_-]{{20,}}"),
    _format("openrouter", "sk-or-", r"[A-Za-z0-9_-]{20,}"),
    _format("langfuse", "sk-lf-", r"[0-9a-f-]{36}"),
    _format("openai", "sk-", r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}"),
    _format("google", "AIz", rf"a[A-Za-z0-9_-]{{35}}{_RUN_END}"),
    _format("google", "AQ.", r"Ab[A-Za-z0-9_-]{40,}"),
    _format("google", "ya29.", r"[A-Za-z0-9_-]{20,}"),
    _format("google", "GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    _format("groq", "gsk_", r"[A-Za-z0-9]{40,}"),
    _format("xai", "xai-", r"[A-Za-z0-9]{40,}"),
    _format("perplexity", "pplx-", r"[A-Za-z0-9]{40,}"),
    _format("nvidia", "nvapi-", r"[A-Za-z0-9_-]{40,}"),
    _format("replicate", "r8_", r"[A-Za-z0-9]{37,}"),
    _format("huggingface", "hf_ api_org_", r"[A-Za-z0-9]{30,}"),
    _format("langsmith", "lsv2_pt_ lsv2_sk_", r"[0-9a-f]{32}_[0-9a-f]{10}"),
    _format("pinecone", "pcsk_", r"[A-Za-z0-9_]{40,}"),
    _format("tavily", "tvly-", rf"{_DIGIT}[A-Za-z0-9-]{{20,}}"),
    # Clouds
    _format("aws", "AKIA ASIA ABIA", rf"[A-Z0-9]{{16}}{_WORD_END}"),
    _format("aws", "ABSK", r"[A-Za-z0-9+/]{60,}={0,2}"),
    _format("aws", "bedrock-api-key-", r"[A-Za-z0-9+/=]{40,}"),
    _format("digitalocean", "dop_v1_ doo_v1_ dor_v1_", r"[0-9a-f]{64}"),
    _format("heroku", "HRKU-", r"[A-Za-z0-9_-]{36,}"),
    _format("supabase", "sbp_", r"[0-9a-f]{40}"),
    _format("supabase", "sb_secret_", rf"{_DIGIT}[A-Za-z0-9_-]{{20,}}"),
    _format("planetscale", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[A-Za-z0-9_.=-]{32,}"),
    _format("tailscale", "tskey-", r"[a-z]+-[A-Za-z0-9]{8,}(?:-[A-Za-z0-9]+)*"),
    # Code, packages, images
    _format("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{20,}"),
    _format("github", "github_pat_", r"[A-Za-z0-9_]{22,}"),
    _format(
        "gitlab",
        "glpat- gldt- glft- glrt- glcbt- glimt- glptt- gloas- glsoat- glagent- glffct-",
        r"[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]+)*",
    ),
    _format("npm", "npm_", r"[A-Za-z0-9]{36,}"),
    _format("pypi", "pypi-", r"AgE[IN][A-Za-z0-9_-]{20,}"),
    _format("rubygems", "rubygems_", r"[0-9a-f]{48}"),
    _format("docker", "dckr_pat_ dckr_oat_", r"[A-Za-z0-9_-]{20,}"),
    # Services
    _format("slack", "xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs-", r"[A-Za-z0-9%-]{10,}"),
    _format("slack", "xoxe.", r"xox[bp]-[A-Za-z0-9-]{10,}"),
    _format("slack", "xapp-", r"[0-9]-[A-Za-z0-9-]{10,}"),
    _format("slack", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9_/-]{20,}"),
    _format("discord", "discord.com/ discordapp.com/", r"api/webhooks/[0-9]+/[A-Za-z0-9_-]{60,}"),
    _format("stripe", "sk_live_ sk_test_ rk_live_ rk_test_", r"[A-Za-z0-9]{16,}"),
    _format("stripe", "whsec_", r"[A-Za-z0-9+/=]{24,}"),
    _format("sendgrid", "SG.", r"[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}"),
    _format("twilio", "SK", rf"[0-9a-f]{{32}}{_WORD_END}"),
    _format("square", "sq0atp- sq0csp-", r"[A-Za-z0-9_-]{22,}"),
    _format("shopify", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),
    _format("atlassian", "ATATT", r"3xFfGF0[A-Za-z0-9_=-]{20,}"),
    _format("linear", "lin_api_", r"[A-Za-z0-9]{32,}"),
    _format("notion", "ntn_", r"[A-Za-z0-9]{40,}"),
    _format("figma", "figd_", r"[A-Za-z0-9_-]{38,}"),
    _format("grafana", "glsa_", r"[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}"),
    _format("grafana", "glc_", r"eyJ[A-Za-z0-9+/=]{32,}"),
    _format("sentry", "sntrys_ sntryu_", r"[A-Za-z0-9+/=_]{40,}"),
    _format("posthog", "phx_", r"[A-Za-z0-9]{40,}"),
    _format("newrelic", "NRAK-", r"[A-Z0-9]{27}"),
    _format("postman", "PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),
    # Vaults and key material
    _format("vault", "hvs. hvb. hvr.", r"[A-Za-z0-9_-]{24,}"),
    _format(
        "doppler",
        "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.",
        r"(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}",
    ),
    _format("onepassword", "ops_", r"eyJ[A-Za-z0-9+/=_-]{100,}"),
    _format("age", "AGE-SECRET-KEY-", r"1[A-Z0-9]{58}"),
    _format("claude-mem", "cm_", rf"[0-9a-f]{{48}}{_WORD_END}"),
    _format("claude-mem", "cmem_", r"[A-Za-z0-9_-]{43,}"),
    # Structures
    _format("jwt", "eyJ", r"[A-Za-z0-9_-]{8,}+(?:\.{1,2}[A-Za-z0-9_-]++){1,4}", start=_RUN_START),
    _format("url-password", "://", rf"[^{_URL_END}:@]*+:{_PLACEHOLDER}[^{_URL_END}]+@", start=""),
)


def _compile_search() -> str:
    by_anchor: defaultdict[str, list[tuple[int, SecretFormat]]] = defaultdict(list)
    for index, form in enumerate(FORMATS):
        for anchor in {prefix[-1] for prefix in form.prefixes}:
            by_anchor[anchor].append((index, form))
    return "|".join(_branch(anchor, forms) for anchor, forms in by_anchor.items())


def _branch(anchor: str, forms: list[tuple[int, SecretFormat]]) -> str:
    tails: defaultdict[str, set[str]] = defaultdict(set)
    alternatives = []
    for index, form in forms:
        prefixes = [prefix for prefix in form.prefixes if prefix[-1] == anchor]
        for prefix in prefixes:
            tails[prefix[-3:-2]].add(prefix[-2])
        before = "|".join(_behind(prefix, form.start) for prefix in prefixes)
        alternatives.append(f"(?P<f{index}_{ord(anchor)}>(?:{before}){form.body})")
    # Two characters decide most cases, at a fraction of the cost of every prefix in turn.
    guard = "" if "" in tails else _guard(anchor, tails)
    return f"{re.escape(anchor)}{guard}(?:{'|'.join(alternatives)})"


def _behind(prefix: str, start: str) -> str:
    literal = re.escape(prefix)
    return f"(?<={literal})(?<={start}{literal})" if start else f"(?<={literal})"


def _guard(anchor: str, tails: dict[str, set[str]]) -> str:
    pairs = "|".join(
        f"{re.escape(first)}[{re.escape(''.join(sorted(seconds)))}]" for first, seconds in tails.items()
    )
    return f"(?<=(?:{pairs}){re.escape(anchor)})"


SECRET_SEARCH: Final = _compile_search()
"""An expression that matches a secret from its anchor on; `secret_of` tells its format and beginning."""

SECRET: Final = re.compile(SECRET_SEARCH)


def secret_of(match: re.Match[str]) -> tuple[SecretFormat, int]:
    """The format that `match` (of `SECRET`) is of, and the index in the text at which its prefix begins."""
    form = FORMATS[int((match.lastgroup or "")[1:].partition("_")[0])]
    after_anchor = match.start() + 1
    longest = max(len(prefix) for prefix in form.prefixes if match.string.endswith(prefix, 0, after_anchor))
    return form, after_anchor - longest
