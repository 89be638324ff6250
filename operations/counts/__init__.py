"""Shows and rebuilds the counts of pairs of items, the Gram matrix G, in Redis."""
