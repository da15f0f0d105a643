"""`python -m claude_mem_operator` is the command `claude-mem-operator`."""

from __future__ import annotations

import sys

from claude_mem_operator.main import main

if __name__ == "__main__":
    sys.exit(main())
