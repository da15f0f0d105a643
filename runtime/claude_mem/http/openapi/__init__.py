"""The API's own description: each route declares its operation beside its handler, and the document is made of those.

`operation` is what handlers import; `document` makes OpenAPI 3.1 of all routes; `page` makes it readable.
"""

from __future__ import annotations
