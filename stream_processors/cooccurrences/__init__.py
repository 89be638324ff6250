"""Changes to the Gram matrix, into its rows in Redis."""
