"""Events counted by item and time, for what is trending."""
