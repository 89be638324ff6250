"""How many machines a feed and an audience need, from unit costs that were measured.

Hypothesis: CPU per record, per value written and per request, with the waits that batching causes,
explain what this machine was measured to do: a simulation with costs from one set of runs foretells
saturation and 99th percentiles of another set within a fifth.

`costs` measures unit costs, `plan` multiplies them out, `simulate` plays partitions, workers,
shards and API processes through, event by event, and `check` sets what it foretells beside what is
measured. Baseline: the measurement.
"""
