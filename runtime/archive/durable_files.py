"""Files of tables on this machine's disk that outlive a power cut, as those in S3 do.

pyiceberg hands a file to the operating system and goes on. Here a file is on the disk once it is
closed, and so are the entries of the folders that lead to it; the catalog is told of it after that.
"""

import errno
import functools
import io
import os
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO

_NOT_TO_BE_SYNCED: Final = {errno.EACCES, errno.EINVAL}
"""Folders that somebody else made and closed to us, and those of file systems that cannot do it."""
_FOLDERS_MOST: Final = 65_536


class DurableFileIO(PyArrowFileIO):
    """pyiceberg's own files, but for those that are written to a folder here."""

    def _initialize_local_fs(self) -> FileSystem:
        return _DurableFileSystem()


class _DurableFileSystem(LocalFileSystem):  # type: ignore[misc] # pyarrow ships no types
    def open_output_stream(
        self, path: str, compression: Any = None, buffer_size: int | None = None, **_: Any
    ) -> pa.NativeFile:
        if compression not in {None, "detect"}:
            raise ValueError(f"{path} would be compressed, which no file of a table is as a whole")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = io.BufferedWriter(_DurableFile(path, "w"), buffer_size or io.DEFAULT_BUFFER_SIZE)
        return pa.PythonFile(file, mode="w")


class _DurableFile(io.FileIO):
    def close(self) -> None:
        """Close the file once it is on the disk.

        Raises:
            OSError: it is not.
        """
        if self.closed:
            return
        try:
            os.fsync(self.fileno())
            folder = Path(os.fsdecode(self.name)).absolute().parent
            _sync_folder(folder)
            _secure(folder)
        finally:
            super().close()


@functools.lru_cache(_FOLDERS_MOST)
def _secure(folder: Path) -> None:
    """Make a folder as durable as the root: whoever made it may have died before it did this."""
    if folder != folder.parent:
        _secure(folder.parent)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Put the entries of a folder on the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_TO_BE_SYNCED:
            raise
