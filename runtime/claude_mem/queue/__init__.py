"""Transport of jobs to workers. The database is the truth about a job; a transport only says that there is one."""

from __future__ import annotations
