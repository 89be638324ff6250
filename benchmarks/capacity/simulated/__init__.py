"""Workers, shards and API processes as queues (SimPy): a machine that is here, and others."""
