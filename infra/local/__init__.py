"""The stack on this machine without Docker: broker, store and all programs."""
