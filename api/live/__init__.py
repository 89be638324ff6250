"""Streams changing bars to many clients over server-sent events.

However many clients listen, a process subscribes to the workers' channels once (`channels`), and
decodes and encodes each bar once (`board`, `frames`). Each client has a `listener`, which holds its
pending events, and a `stream`, its answer. `bars` combines these.
"""
