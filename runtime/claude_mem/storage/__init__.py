"""Where everything is kept: a port with a PostgreSQL and an SQLite adapter, and the operations upon it.

The modules named after things (`events`, `jobs`, …) hold functions that take an executor, a database or a transaction,
and know no dialect. What an operation means for a caller is decided by the services.
"""

from __future__ import annotations
