"""Finds the settings that foresee best what users do next.

Settings are tried (`search`) from a space (`space`) on a part of what there is to learn from, never
on what they are judged by in the end (`run`).
"""
