"""Streams changing bars and quotes to many clients, as server-sent events or over a WebSocket.

However many clients listen, a process subscribes to the workers' channels once (`reading`), and
decodes and encodes each bar once (`board`, `answers`). Each client has a `listener`, which holds
its pending events, and a `stream`, its answer. `hub` combines these.
"""
