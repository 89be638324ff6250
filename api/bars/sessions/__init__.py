"""Trading sessions of exchanges, and bars of only their minutes."""
