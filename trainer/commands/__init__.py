"""The commands of `python -m trainer` that need no Redis, one a file.

Each loads what only it needs when it is called: a trainer that trains has no use for plots.
"""
