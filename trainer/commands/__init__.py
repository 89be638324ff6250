"""The commands of `python -m trainer` beside `run` and `once`.

Each loads what only it needs when it is called: a trainer that trains has no use for plots.
"""
