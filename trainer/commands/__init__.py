"""The commands of `python -m trainer` other than `run` and `once`.

Each imports its own dependencies when it is called: training needs no plots.
"""
