"""Finds the settings that foresee best what users do next.

`auto` does it by itself at a run: a few dozen candidates (`trials`), on what users did last. `run`
does it for a person who has a file: settings are tried (`search`) from a space (`space`) on a part
of what there is to learn from, never on what they are judged by in the end.
"""
