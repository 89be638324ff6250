"""A small shop with two kinds of customers."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file of 60 users who buy among 20 items: even ones or odd ones, seldom the others."""
    random = np.random.default_rng(7)
    rows = ["ts_ms,user_id,instrument_id,price,quantity"]
    for ts in range(1_500):
        user = int(random.integers(60))
        kind = user % 2 if random.random() < 0.9 else 1 - user % 2
        item = 2 * int(random.integers(10)) + kind
        rows.append(f"{ts},u{user:02d},{100 + item},1.5,2")
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
