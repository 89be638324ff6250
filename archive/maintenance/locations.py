"""A table's files as pyarrow opens them: Iceberg names them by location, as `s3://bucket/file`."""

import posixpath
from typing import cast

from pyarrow.fs import FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table


def filesystem_of(found: Table) -> FileSystem:
    """Return the file system that has a table's files."""
    io = cast("PyArrowFileIO", found.io)
    scheme, netloc, _ = PyArrowFileIO.parse_location(found.location(), io.properties)
    return io.fs_by_scheme(scheme, netloc)


def path_of(location: str) -> str:
    """Return a location's path in its file system.

    >>> path_of("s3://bucket/tickrec/quotes"), path_of("file:///data/tickrec/quotes")
    ('bucket/tickrec/quotes', '/data/tickrec/quotes')
    """
    return posixpath.normpath(PyArrowFileIO.parse_location(location)[2])
