"""Bars as they change, to many clients over server-sent events.

However many clients listen, a process subscribes once to what the workers publish (`channels`),
decodes a bar once and encodes it once (`board`, `frames`). Each client has a `listener`, which
holds what it has yet to be sent, and a `stream`, its answer. `bars` puts these together.
"""
