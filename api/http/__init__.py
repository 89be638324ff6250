"""What all endpoints share: how requests come in, and how they are answered."""
