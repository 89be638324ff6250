"""Workers, shards and API processes as queues (SimPy): this machine, and planned ones."""
