"""Users: what is known of them, and their rights."""
