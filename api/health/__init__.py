"""Whether the processes are alive and ready, and how far the workers have got."""
