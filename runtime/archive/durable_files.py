"""Table files on the local disk that survive a power cut, as those in S3 do.

pyiceberg leaves a file to the operating system's cache. Here a file and the entries of its parent
folders are on the disk once it is closed; the catalog is updated only after that.
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
"""Another user's folders that we may not open, and file systems that cannot do it."""
_FOLDERS_MOST: Final = 65_536


class DurableFileIO(PyArrowFileIO):
    """pyiceberg's own files, except those written to a local folder."""

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
    """Make a folder as durable as the root: its creator may have died before doing so."""
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
