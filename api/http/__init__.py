"""What all endpoints share: reading requests and sending answers."""
