"""The cosine of rows, by scikit-learn."""

from typing import Any

from contracts.messages import Floats


def cosine_similarity(rows: Any) -> Floats:
    """Return (n, n) the cosine of each two of n rows."""
    # Half a second, which each process that collects the tests would take.
    from sklearn.metrics.pairwise import cosine_similarity

    found: Floats = cosine_similarity(rows)
    return found
