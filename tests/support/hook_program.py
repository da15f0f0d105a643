"""`claude-mem` as an agent runs it, and the same with a hook that is as patient as a busy machine asks for.

A hook gives up after two seconds and ends itself after three, so that no agent waits for it. Tests of what it does beside
that take the patient one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

PROGRAM: Final = str(Path(sys.executable).with_name("claude-mem"))

_PATIENT: Final = """
import sys
from claude_mem.cli import main
from claude_mem.client import hook, sender
hook.BUDGET_SECONDS = hook.REQUEST_SECONDS = hook.LAST_RESORT_SECONDS = sender.CONNECT_TIMEOUT_SECONDS = 240.0
sys.exit(main.main())
"""

PATIENT: Final = (sys.executable, "-c", _PATIENT)
