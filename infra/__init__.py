"""Infrastructure of the programs: topics, and the stack on one machine."""
