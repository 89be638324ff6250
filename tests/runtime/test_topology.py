import pytest

from runtime.topology import Topology, TopologyError

TOPOLOGY = Topology(8, 4, 2, 6)
NOTED = {**TOPOLOGY.as_hash(), "something else": "1"}


@pytest.mark.parametrize(
    ("noted", "says"),
    [
        (
            {name: n for name, n in NOTED.items() if name != "interactions"},
            "no partitions for interactions: run `python -m operations",
        ),
        ({}, "quotes, interactions, cooccurrences, instruments"),
        ({**NOTED, "format": "0"}, "format 0, and .* only 1: use another NAMESPACE"),
        ({"quotes": "8", "format": ""}, "format"),
    ],
)
def test_a_hash_is_read_back_or_refused_with_the_remedy(noted: dict[str, str], says: str) -> None:
    assert Topology.from_hash(NOTED) == TOPOLOGY
    with pytest.raises(TopologyError, match=says):
        Topology.from_hash(noted)


def test_the_brokers_number_must_be_the_noted_one() -> None:
    TOPOLOGY.check("quotes", 8)
    with pytest.raises(TopologyError, match=r"topic interactions has 5 .* says 4: .* NAMESPACE"):
        TOPOLOGY.check("interactions", 5)
