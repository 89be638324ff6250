"""Redis over pipelining connections, which the commands of concurrent requests share.

redis-py's asyncio client takes a connection for each command and waits for its answer. Here, the
commands of concurrent requests leave in one write and their answers arrive in one read: these
system calls are most of the cost of a command. `nodes` keeps the connections, `connection` is one
of them, `sentinels` finds the master, `reading` is one answer in progress. `api.redis.store`
enforces deadlines.
"""
