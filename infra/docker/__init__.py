"""The Dockerfile of every program's image, and a rehearsal of it without Docker."""
