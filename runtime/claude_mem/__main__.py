"""`python -m claude_mem`: the same as the `claude-mem` command."""

from __future__ import annotations

import sys

from claude_mem.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
