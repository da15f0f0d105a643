"""What answers look like: one typed dictionary for each shape on the wire.

`wire` and `spending` return them, so a type checker holds code to shape; the API's document is made from them, and tests
hold every answer to that document. Clients may meet more members in later releases.
"""

from __future__ import annotations
