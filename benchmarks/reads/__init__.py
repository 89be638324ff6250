"""Answers to the hot reads over HTTP, against the same answers from FastAPI and redis-py.

Hypothesis: reads that are answered in front of the framework, on connections that pipeline, come at
5 times the baseline's rate and at a lower p99; recommendations that are worked out for the request
come at twice the rate of the baseline's plain GET of one key.

Work: one namespace of a real store, see `data`: 50,000 instruments with minute bars that keep up
with the clock, a list of 200 neighbors for each, a million users. `wrk` asks for one endpoint after
the other on 64 connections, each path as often as a Zipf law of exponent 1 says. The server that is
asked has a core to itself; wrk and the store share the other one. Before a contest both are asked
for the same paths, and must say the same. An answer that is no 2xx fails the contest's verdict.

Baseline: `benchmarks.naive`, one process under uvicorn (httptools, uvloop), on the same data. Both
run all the time, so that the one that is not asked costs both the same. `situations` has the parts:
reads of instruments, and recommendations by what is kept of them.

Latencies are wrk's, which waits for an answer before it asks again on that connection, and corrects
for the requests omitted during the wait.
"""
