"""What deploys the programs, and the whole stack on one machine."""
