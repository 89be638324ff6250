"""Users: their histories and their data rights."""
