"""Bars that Redis retains no more: read from the archive, beside the event loop.

Nothing of it is imported unless an archive is set: it brings pyarrow and pyiceberg.
"""
