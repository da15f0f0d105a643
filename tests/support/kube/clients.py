"""Clients of the official library; whose rights they have is the kubeconfig's to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kubernetes import client, config


def connect(kubeconfig: Path) -> client.ApiClient:
    """A client that is set up once, whatever thread asks with it.

    It would set itself up anew at each request, from the environment too. There pytest takes a variable away between the
    phases of a test, under the hands of a thread. Tokens are good for longer than tests take.
    """
    new: Callable[[str], client.ApiClient] = config.new_client_from_config
    made = new(str(kubeconfig))
    made.configuration.refresh_api_key_hook = None
    return made
