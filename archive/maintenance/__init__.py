"""Table maintenance: compaction, erasure, and deletion of unused files."""
