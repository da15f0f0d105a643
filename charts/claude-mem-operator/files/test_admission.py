"""`helm test`: a resource that cannot work is refused with the reason, a good one is accepted. Nothing is stored."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Only the webhook knows this rule: the ValidatingAdmissionPolicy would answer for others.
VARIABLE, WRONG = "CLAUDE_MEM_POSTGRES_SSL", "sometimes"
# Nodes learn where replicas are a moment after these are ready, and until then nobody reaches the webhook: for how long
# it is tried again, and after which pause, in seconds.
PATIENCE_S, PAUSE_S = 60, 1
# An API server waits for a webhook for up to 30 seconds before it says that it reached nobody.
ANSWER_S = 40
NOBODY = "failed calling webhook"


def dry_run(env: list[dict[str, str]]) -> tuple[int, str]:
    """What the API server says to a resource whose server has this environment."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    provider = {"name": "claude", "apiKeySecretRef": {"name": "installation-test", "key": "api-key"}}
    resource = {
        "apiVersion": "claude-mem.dev/v1alpha1",
        "kind": "ClaudeMemServer",
        "metadata": {"name": "installation-test"},
        "spec": {"provider": provider, "server": {"env": env}},
    }
    path = f"/apis/claude-mem.dev/v1alpha1/namespaces/{sys.argv[1]}/claudememservers?dryRun=All"
    request = urllib.request.Request(
        f"https://{host}:{port}{path}",
        data=json.dumps(resource).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
        },
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, context=context, timeout=ANSWER_S) as answer:  # noqa: S310
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, str(json.load(error).get("message"))


def reached(env: list[dict[str, str]]) -> tuple[int, str]:
    """What the API server says to such a resource, once it reaches the webhook, or at last."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status, message = dry_run(env)
        if NOBODY not in message or time.monotonic() > deadline:
            return status, message
        time.sleep(PAUSE_S)


def main() -> None:
    """End with the reason where one of the two is not as it should be."""
    status, message = reached([])
    if status != 201:
        sys.exit(f"a good resource is refused: {status} {message}")
    print("a good resource is accepted")  # noqa: T201
    status, message = reached([{"name": VARIABLE, "value": WRONG}])
    if status == 201:
        sys.exit("a resource that cannot work is accepted: is the webhook registered?")
    if VARIABLE not in message:
        sys.exit(f"a resource that cannot work is refused for another reason: {status} {message}")
    print(f"a resource that cannot work is refused: {message}")  # noqa: T201


if __name__ == "__main__":
    main()
