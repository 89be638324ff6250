"""What is trending: the items with most events lately."""
