"""Which files of a partition are merged: few are left, and no row is rewritten often."""

from collections.abc import Sequence

import pytest
from pyiceberg.manifest import DataFile

from archive.maintenance.compaction import GROWTH, QUIET_S, LiveFile, Rule, chosen

KIB = 2**10
RULE = Rule(target_bytes=1_000 * KIB, files_good_for_s=60)
NOW_S = 1e9


def files_of(sizes: Sequence[int], added_s: float = NOW_S) -> list[LiveFile]:
    return [LiveFile(DataFile.from_args(file_size_in_bytes=size), added_s) for size in sizes]


def chosen_of(sizes: Sequence[int], added_s: float = NOW_S, rule: Rule = RULE) -> list[int]:
    return [each.file_size_in_bytes for each in chosen(files_of(sizes, added_s), rule, NOW_S)]


@pytest.mark.parametrize(
    ("sizes", "together"),
    [
        ([], []),
        ([7], []),
        ([7, 7, 7], []),
        ([7, 7, 7, 7], [7, 7, 7, 7]),
        # What was put together is left alone until there is as much again, three times.
        ([28, 7, 7, 7, 7], [7, 7, 7, 7]),
        ([28, 28, 28, 7, 7, 7, 7], [7, 7, 7, 7, 28, 28, 28]),
        ([99, 1, 20, 2, 16, 1, 1, 2, 1], [1, 1, 1, 1, 2, 2]),
        # What is half as large as a file shall be stays as it is.
        ([500 * KIB] * 9, []),
    ],
)
def test_in_a_growing_partition_each_merged_file_grows_fourfold(
    sizes: list[int], together: list[int]
) -> None:
    assert chosen_of(sizes) == together


def test_when_quiet_or_forced_all_small_files_are_merged() -> None:
    sizes = [100, 7, 500 * KIB]
    assert chosen_of(sizes) == []
    assert chosen_of(sizes, NOW_S - QUIET_S - 1) == [100, 7]
    assert chosen_of(sizes, rule=RULE._replace(is_forced=True)) == [100, 7]
    assert chosen_of([7], NOW_S - QUIET_S - 1) == []
    late = [*files_of(sizes, NOW_S - QUIET_S - 1), *files_of([7])]
    assert chosen(late, RULE, NOW_S) == []


def test_a_day_of_equal_files_leaves_few_and_rewrites_a_row_three_times() -> None:
    sizes: list[int] = []
    rewritten = 0
    left = []
    for _ in range(288):
        sizes.append(1)
        if some := chosen_of(sizes):
            for size in some:
                sizes.remove(size)
            sizes.append(sum(some))
            rewritten += sum(some)
        left.append(len(sizes))
    assert rewritten / 288 < GROWTH - 0.9
    assert max(left) == 12
    assert sum(left) / 288 < 6
