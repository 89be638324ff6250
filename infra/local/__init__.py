"""The stack on this machine, without Docker: broker, store and all programs, supervised.

`store`, `tansu` and `kafka` say how a server is started; `process` starts and stops; the tests use
these, too.
"""
