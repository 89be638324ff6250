"""The source of both clients: `_sync` is generated from it."""
