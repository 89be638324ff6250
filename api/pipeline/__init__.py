"""The workers' progress, now and recently, and the records they rejected."""
