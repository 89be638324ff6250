"""The routes, one file a subject: they read, call what is pure, and answer."""
