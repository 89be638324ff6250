import pytest

from contracts.topics import FEEDBACK, INSTRUMENTS, Topic
from runtime.topology import Topology, TopologyError

NOTED = {
    "quotes": "8",
    "interactions": "4",
    "cooccurrences": "2",
    "instruments": "6",
    "feedback": "3",
    "something else": "1",
}


def test_the_hash_has_the_partitions_of_each_topic() -> None:
    assert Topology.from_hash(NOTED) == Topology(8, 4, 2, 6, 3)


@pytest.mark.parametrize("topic", ["quotes", "interactions", "cooccurrences"])
def test_a_topic_that_is_not_noted_is_named_with_the_remedy(topic: str) -> None:
    noted = {name: partitions for name, partitions in NOTED.items() if name != topic}
    with pytest.raises(
        TopologyError, match=rf"no partitions for {topic}: run `python -m operations"
    ):
        Topology.from_hash(noted)


@pytest.mark.parametrize("topic", [INSTRUMENTS, FEEDBACK])
def test_topics_noted_by_a_release_that_did_not_fold_one_are_accepted(topic: Topic) -> None:
    noted = {name: partitions for name, partitions in NOTED.items() if name != topic.name}
    assert getattr(Topology.from_hash(noted), topic.name) == topic.partitions


def test_all_topics_that_are_missing_are_named() -> None:
    with pytest.raises(TopologyError, match="quotes, interactions, cooccurrences"):
        Topology.from_hash({})


def test_the_brokers_number_must_be_the_noted_one() -> None:
    topology = Topology.from_hash(NOTED)
    topology.check("quotes", 8)
    with pytest.raises(TopologyError, match=r"topic interactions has 5 .* says 4: .* NAMESPACE"):
        topology.check("interactions", 5)
