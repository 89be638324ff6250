"""Ordinary readers and a writer while another client floods the API.

Hypothesis: however one address floods one API process, the p99 of the others' reads stays below
50 ms, and none of them is refused.

Work: one API process as `python -m api` starts it, with its default limits; Valkey with 2,000
instruments, their minute bars, and lists; a broker. The others, in a process of their own, make
500 hot reads a second on 32 connections that stay open, 20 on a connection of their own each, and
post 25 events a second. They keep to a schedule: a latency runs from the moment at which the
request was due, so that a stalled server cannot put off the next ones. In turn nobody floods, and a
process floods with

- heads: 2,000 clients send the head of a request, a byte each half a second, without an end;
- bodies: 500 clients send the body of an event to `POST /v1/events`, ten bytes a second;
- streams: 300 clients open `/v1/stream/bars`, where one address may have 100;
- unread: 300 clients ask for 30 answers of 80 kB at once, and read nothing.

A disconnected client reconnects at once, and a refused one retries at once: a flood is as fast as
the server answers it. It claims to come from another address than the others (`X-Forwarded-For`,
which the API trusts on loopback). All share the machine; how late the others' own clock was shows
what the machine adds.

Baseline: the quiet phase of the same round.
"""
