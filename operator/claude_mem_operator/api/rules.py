"""What a model demands beyond its fields' own types: each demand once in Python, once in CEL.

The CEL goes into the CRD, so that the API server refuses what breaks it even while the operator is down; the
Python answers in `ClaudeMemServer.parse`. Leaves it to a test against a real API server that both say the
same. CEL is also asked of defaults, in which the defaults of their fields are not yet filled in: a rule about a
field with a default asks whether it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A demand on one object.

    `cel` states it over `self`, `holds` over the parsed model. `message` says what is wrong and what to write.
    `field` is the JSON path below the object that is to blame, such as `.value`, or nothing.
    """

    cel: str
    holds: Callable[[Any], bool]
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A demand on a change, over `self` and `oldSelf`; asked only where the object was there before, too.

    `holds` takes the new model and the old one.
    """

    cel: str
    holds: Callable[[Any, Any], bool]
    message: str
    field: str = ""
