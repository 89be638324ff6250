"""Redis over connections that pipeline: the commands of all requests under way share one each.

redis-py's asyncio client takes a connection for each command and waits for its answer. Here the
commands of concurrent requests leave in one write and their answers come back in one read: both are
dear, and most of what a command costs a server. `nodes` keeps the connections, `connection` is one,
`sentinels` knows whom to connect to, `reading` is one answer that is being put together. Deadlines
are `api.redis.store`'s.
"""
