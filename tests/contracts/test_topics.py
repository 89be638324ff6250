"""Invariants of the topics as a whole."""

from contracts.topics import ALL, BARS, INSTRUMENTS, QUOTES, STREAMED, dead_letters


def test_names_are_unique_and_letters_tell_the_streamed_topics_apart() -> None:
    assert len({topic.name for topic in ALL}) == len(ALL)
    assert len({topic.letter for topic in STREAMED}) == len(STREAMED)
    assert all(len(topic.letter) == 1 for topic in STREAMED)


def test_closed_bars_outlive_their_quotes_in_as_many_partitions_and_are_folded_by_no_worker() -> (
    None
):
    assert BARS in ALL
    assert BARS not in STREAMED
    assert (BARS.partitioned_as, BARS.partitions) == (QUOTES.name, QUOTES.partitions)
    assert BARS.retention_h > QUOTES.retention_h


def test_only_the_catalog_is_compacted_as_only_there_a_key_has_one_record_that_counts() -> None:
    assert [topic for topic in ALL if topic.is_compacted] == [INSTRUMENTS]
    assert not dead_letters(INSTRUMENTS).is_compacted
