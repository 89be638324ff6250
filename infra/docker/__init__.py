"""The Dockerfile of every program's image, and a rehearsal of it where no Docker runs."""
