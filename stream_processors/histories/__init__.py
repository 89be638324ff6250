"""User events to histories, and to the changes that they make to the Gram matrix."""
