"""The stack on this machine, without Docker: broker, store and all programs, supervised.

`store`, `tansu` and `kafka` define how servers start; `process` starts and stops them; the tests
use these, too.
"""
