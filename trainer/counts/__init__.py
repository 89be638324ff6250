"""What models are made from: the Gram matrix of the items, and histories, read out of Redis."""
