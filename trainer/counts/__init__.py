"""The input of models: the Gram matrix of the items, and histories, read from Redis."""
