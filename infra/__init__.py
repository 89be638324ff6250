"""What the programs run on: topics, and the stack on one machine."""
