"""The viewer: a page of plain modules and styles, without a build. Serving it is the HTTP layer's."""
