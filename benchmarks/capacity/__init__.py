"""How many machines a feed and an audience need: unit costs, multiplied.

The costs are the CPU of a record, of a value written and of a request, and the bytes of a key. The
other benchmarks measure them; docs/capacity.md says which one measures what.
"""
