"""Bars that Redis no longer retains: read from the archive, outside the event loop.

It is imported only if an archive is configured, because it needs pyarrow and pyiceberg. All of it
but `ReaderThread` runs in that one thread, and may block.
"""
