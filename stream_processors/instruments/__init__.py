"""The catalog: the newest record of each instrument."""
