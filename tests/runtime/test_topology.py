import pytest

from runtime.topology import Topology, TopologyError

NOTED = {
    "format": "1",
    "quotes": "8",
    "interactions": "4",
    "cooccurrences": "2",
    "instruments": "6",
    "something else": "1",
}


def test_the_hash_has_the_partitions_of_each_topic() -> None:
    assert Topology.from_hash(NOTED) == Topology(8, 4, 2, 6)


@pytest.mark.parametrize("topic", sorted(NOTED.keys() - {"format", "something else"}))
def test_a_topic_that_is_not_noted_is_named_with_the_remedy(topic: str) -> None:
    noted = {name: partitions for name, partitions in NOTED.items() if name != topic}
    with pytest.raises(
        TopologyError, match=rf"no partitions for {topic}: run `python -m operations"
    ):
        Topology.from_hash(noted)


@pytest.mark.parametrize("found", ["0", "2", None])
def test_another_format_is_refused_by_name_with_the_remedy(found: str | None) -> None:
    noted = {name: value for name, value in NOTED.items() if name != "format"}
    noted |= {} if found is None else {"format": found}
    with pytest.raises(
        TopologyError, match=rf"format {found or 'none'}, and .* only 1: use another NAMESPACE"
    ):
        Topology.from_hash(noted)


def test_a_hash_is_read_back_as_it_was_noted() -> None:
    topology = Topology(8, 4, 2, 6)
    assert Topology.from_hash(topology.as_hash()) == topology


def test_all_topics_that_are_missing_are_named() -> None:
    with pytest.raises(TopologyError, match="quotes, interactions, cooccurrences, instruments"):
        Topology.from_hash({})


def test_the_brokers_number_must_be_the_noted_one() -> None:
    topology = Topology.from_hash(NOTED)
    topology.check("quotes", 8)
    with pytest.raises(TopologyError, match=r"topic interactions has 5 .* says 4: .* NAMESPACE"):
        topology.check("interactions", 5)
