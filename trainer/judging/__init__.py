"""What is better: draws users, judges the lists that they are shown, and decides.

Users come from a hold-out of what they did last (`holdout`), or from a period that is over
(`period`); `lists` makes and judges their lists, `measures` has the figures, and `intervals` says
which leads are beyond chance. On these `search` (`ITEM_MODEL=auto`), `comparison` (variants) and
`canary` decide; `evaluate` uses the same.
"""
