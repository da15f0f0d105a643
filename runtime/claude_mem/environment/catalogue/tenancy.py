"""Variables of authentication and of the limits on what a key or a team may use."""

from __future__ import annotations

from claude_mem.environment import kinds, numeric

AUTH = "Authentication"
LIMITS = "Limits"

AUTH_MODE = kinds.optional_text(
    "CLAUDE_MEM_AUTH_MODE",
    group=AUTH,
    expects="api-key, local-dev or disabled",
    default_text="local-dev in local development, else api-key",
    judged=True,
    meaning="How callers are known. disabled is only a label: keys are asked for all the same.",
)
ALLOW_LOCAL_DEV_BYPASS = kinds.switch(
    "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS",
    group=AUTH,
    meaning=(
        "Exactly 1 lets loopback callers in without a key under local-dev; never in a container. Local "
        "development implies it, and 0 takes it back."
    ),
)
AUTH_FAILURES_PER_MIN = numeric.ceiling(
    "CLAUDE_MEM_AUTH_FAILURES_PER_MIN",
    group=AUTH,
    default=60,
    unit="failures a minute and address",
    meaning="Beyond it an address that presents bad keys waits. Never applied to a good key or to loopback.",
)

RATE_LIMIT_PER_MIN = numeric.ceiling(
    "CLAUDE_MEM_RATE_LIMIT_PER_MIN",
    group=LIMITS,
    default=None,
    unit="requests a minute and key",
    meaning="Beyond it a key gets 429 until the minute is over.",
)
MONTHLY_REQUEST_CAP = numeric.ceiling(
    "CLAUDE_MEM_MONTHLY_REQUEST_CAP",
    group=LIMITS,
    default=None,
    unit="requests a UTC month and team",
    meaning="Beyond it a team gets 402. Once set, it counts without CLAUDE_MEM_USAGE_METERING.",
)
MONTHLY_TOKEN_CAP = numeric.ceiling(
    "CLAUDE_MEM_MONTHLY_TOKEN_CAP",
    group=LIMITS,
    default=None,
    unit="tokens a UTC month and team",
    meaning="Beyond it a team's writes get 402. Once set, it counts without CLAUDE_MEM_USAGE_METERING.",
)
USAGE_METERING = kinds.switch(
    "CLAUDE_MEM_USAGE_METERING",
    group=LIMITS,
    meaning="Records each admitted request, for /v1/usage.",
)
