import pytest

from runtime.redis.refusals import StoreRefusesError, warnings_of

KEPT = {"maxmemory_policy": "noeviction", "aof_enabled": 1}


def test_a_store_that_keeps_all_data_gets_no_warning() -> None:
    assert warnings_of(KEPT) == []
    assert warnings_of({"one:1": KEPT, "two:2": KEPT}) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_one_node_that_may_evict_is_enough_to_refuse_a_store(policy: str) -> None:
    evicting = {**KEPT, "maxmemory_policy": policy}
    for info in (evicting, {"one:1": KEPT, "two:2": evicting}):
        with pytest.raises(StoreRefusesError, match=f"{policy}.*set it to noeviction"):
            warnings_of(info)


def test_what_a_managed_store_does_not_report_is_warned_of_once() -> None:
    (warning,) = warnings_of({"one:1": {"aof_enabled": 1}, "two:2": {"aof_enabled": 1}})
    assert "maxmemory-policy: set it to noeviction" in warning


def test_a_store_without_persistence_gets_a_warning() -> None:
    (warning,) = warnings_of({**KEPT, "aof_enabled": "0"})
    assert "Set appendonly to yes" in warning
