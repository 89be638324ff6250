"""Finds the settings that predict best what users do next.

`auto` does it automatically in a run: a few dozen candidates (`trials`), on what users did last.
`run` does it for a file, on request: settings are tried (`search`) from a space (`space`) on a part
of the training data, never on the test data.
"""
