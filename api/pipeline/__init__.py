"""The workers' progress: positions compared with the ends of the logs."""
