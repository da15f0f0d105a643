"""What is kept about a resource between two runs. All of it may be lost: it saves work and decides nothing."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from claude_mem_operator.engine.backoff import Backoff

if TYPE_CHECKING:
    from claude_mem_operator.engine.volumes import Refusal
    from claude_mem_operator.kube.port import ObjectRef


@dataclass(slots=True)
class Memory:
    """One resource's.

    `lock` is held by the run that is under way. `uid` is whose objects were read last, for whoever was told of them.
    `races` counts the runs in a row that lost a race for an object.
    `unrepairable` are fields that an apply did not get, by child, with the applied hash; `refused` is growth of volumes
    that the cluster refused, by name of the claim.
    """

    backoff: Backoff = field(default_factory=lambda: Backoff(random.random))
    unrepairable: dict[ObjectRef, tuple[str, str]] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    uid: str = ""
    races: int = 0
