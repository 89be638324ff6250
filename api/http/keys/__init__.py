"""API keys: what one is, the file that they stand in, and the commands that write it."""
