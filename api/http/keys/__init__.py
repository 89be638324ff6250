"""API keys: the key, the file that stores them, and the commands that edit it."""
