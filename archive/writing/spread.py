"""How many rows make one commit, where their event times are spread over many days. Pure.

A commit writes a file for each partition of the table that its rows lie in. It is one step of the
log, so what does not fit is left for the next one, starting with the first row that would need one
more file.
"""

from typing import Final

import numpy as np
import pyarrow as pa

from archive.writing.files import partition_columns
from contracts.archive import BUCKETS, ArchiveTable
from contracts.messages import Ints

FILES_MOST: Final = 1_024
"""Of one commit: two months of a table with buckets. At 50 ms each they take a minute."""


def rows_that_fit(table: ArchiveTable, rows: pa.Table, files_most: int) -> dict[int, int]:
    """Return how many of the first rows of a partition of the topic one commit may have.

    Args:
        table: whose rows they are.
        rows: in the order of the log, by partition of the topic.
        files_most: that all partitions of the topic may need together; each gets an equal share.

    Returns:
        partition of the topic -> rows; one that is not named may have all of its rows.
    """
    if not rows.num_rows:
        return {}
    days, *buckets = partition_columns(table, rows)
    if (int(days.max()) - int(days.min()) + 1) * (BUCKETS if buckets else 1) <= files_most:
        return {}
    keys = days * BUCKETS + (buckets[0] if buckets else 0)
    if len(np.unique(keys)) <= files_most:
        return {}
    numbers = rows["partition"].to_numpy()
    ours = np.unique(numbers)
    share = max(files_most // len(ours), 1)
    firsts = {int(n): _first_of_each(keys[numbers == n]) for n in ours}
    return {n: int(first[share]) for n, first in firsts.items() if len(first) > share}


def _first_of_each(keys: Ints) -> Ints:
    """Return the places at which a key comes for the first time, rising."""
    return np.sort(np.unique(keys, return_index=True)[1])
