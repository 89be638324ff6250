"""What is recommended to users."""
