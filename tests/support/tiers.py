"""What becomes of tests for which this machine lacks something."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def cannot_run(reason: str) -> NoReturn:
    """Fail where CI is set, for nothing may pass there by not having run; elsewhere skip and say why."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
