"""Invariants of the topics as a whole."""

import pytest

from contracts.topics import (
    ALL,
    BARS,
    DEAD_LETTERS_SUFFIX,
    FEEDBACK,
    INSTRUMENTS,
    QUOTES,
    STREAMED,
    Topic,
    dead_letters,
)


def test_names_are_unique_and_letters_tell_the_streamed_topics_apart() -> None:
    assert len({topic.name for topic in ALL}) == len(ALL)
    assert len({topic.letter for topic in STREAMED}) == len(STREAMED)
    assert all(len(topic.letter) == 1 for topic in STREAMED)


def test_the_names_are_those_that_the_users_feeds_write_to() -> None:
    assert [topic.name for topic in STREAMED] == [
        "quotes",
        "interactions",
        "cooccurrences",
        "instruments",
    ]


@pytest.mark.parametrize("topic", STREAMED, ids=lambda topic: topic.name)
def test_each_streamed_topic_has_one_for_its_dead_letters(topic: Topic) -> None:
    assert dead_letters(topic) in ALL
    assert dead_letters(topic).name == topic.name + DEAD_LETTERS_SUFFIX


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_each_topic_has_partitions_and_keeps_what_it_holds_for_a_day_at_least(
    topic: Topic,
) -> None:
    assert topic.partitions >= 1
    assert topic.retention_h >= 24
    assert topic.written_by
    assert topic.read_by


def test_closed_bars_outlive_their_quotes_in_as_many_partitions_and_are_folded_by_no_worker() -> (
    None
):
    assert BARS in ALL
    assert BARS not in STREAMED
    assert (BARS.partitioned_as, BARS.partitions) == (QUOTES.name, QUOTES.partitions)
    assert BARS.retention_h > QUOTES.retention_h


def test_feedback_is_kept_for_its_readers_and_folded_by_no_worker() -> None:
    assert FEEDBACK in ALL
    assert FEEDBACK not in STREAMED
    assert dead_letters(FEEDBACK) not in ALL


def test_only_the_catalog_is_compacted_as_only_there_a_key_has_one_record_that_counts() -> None:
    assert [topic for topic in ALL if topic.is_compacted] == [INSTRUMENTS]
    assert not dead_letters(INSTRUMENTS).is_compacted
