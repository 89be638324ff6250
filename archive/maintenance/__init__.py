"""What is done to tables beside writing them: compaction, erasure, and letting go of files."""
