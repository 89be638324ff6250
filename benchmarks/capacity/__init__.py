"""How many machines a feed and an audience need, from measured unit costs.

Hypothesis: CPU per record, per value written and per request, with the waits that batching causes,
explain what was measured on this machine: a simulation with costs from one set of runs predicts
saturation and 99th percentiles of another set within a fifth.

`costs` measures unit costs, `plan` multiplies them out, `simulate` simulates partitions, workers,
shards and API processes event by event, and `check` compares its predictions with measurements.
Baseline: the measurement.
"""
