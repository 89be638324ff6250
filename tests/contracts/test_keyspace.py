"""Keys in Redis: one hash slot per partition, and the documented rights."""

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from contracts.keyspace import Keyspace
from tests.contracts.keys import PARTITION, Key, keys
from tests.runtime.redis.guarded import rules

LIVE = Keyspace("live")
ROOT: Final = Path(__file__).parents[2]
KEYS: Final = list(keys())

partitions = st.integers(0, 9999)
user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
namespaces = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)


def program_of(name: str) -> str:
    """Return the user of docs/redis.md who is meant by a writer or a reader of a key."""
    programs = {"operations.topics": "topics", "people": "looker"}
    return programs.get(name, name if name in rules() else "worker")


def granted(sign: str) -> set[tuple[str, Key]]:
    """Return the users and keys of the documented rights that begin with a sign."""
    return {
        (user, key)
        for user, rule in rules().items()
        for pattern in re.findall(rf"(?<= ){re.escape(sign)}(\S+)", rule)
        for key in KEYS
        # Redis writes the complement of a set of characters with ^.
        if fnmatchcase(f"live:{key.example}", pattern.replace("[^", "[!"))
        and (sign == "&") == key.is_channel
    }


def test_the_documented_rights_are_those_of_each_keys_writers_and_readers() -> None:
    writers, readers, subscribers = set(), set(), set()
    for key in KEYS:
        everybody = {"topics", "worker", "trainer", "api"}
        reading = everybody if key.readers == {"all"} else set(map(program_of, key.readers))
        writing = set(map(program_of, key.writers))
        if key.is_channel:
            subscribers |= {(program, key) for program in writing | reading}
        else:
            writers |= {(program, key) for program in writing}
            readers |= {(program, key) for program in reading}
    assert granted("~") == writers
    assert granted("&") == subscribers
    # The API reads all of its namespace, and so does a person, but for the secret.
    assert readers - writers <= granted("%R~")
    unread = granted("%R~") - readers - writers
    assert {user for user, _ in unread} == {"api", "looker"}
    secret = LIVE.request_id_key()
    looked_at = {f"live:{key.example}" for user, key in granted("%R~") if user == "looker"}
    assert looked_at == {f"live:{k.example}" for k in KEYS if not k.is_channel} - {secret}


def test_a_key_with_a_hash_tag_is_written_by_workers_each_by_a_fold_that_exists() -> None:
    for key in KEYS:
        programs = set(map(program_of, key.writers))
        if key.topic_letter is None:
            assert "worker" not in programs
            continue
        assert programs == {"worker"}
        folds = key.writers - {"workers"}
        assert all((ROOT / "stream_processors" / name).is_dir() for name in folds), key


@given(namespaces, partitions, user_ids)
def test_all_keys_of_a_partition_share_a_slot_of_redis_cluster(
    namespace: str, partition: int, argument: str
) -> None:
    slots = defaultdict(set)
    for key in KEYS:
        built = key.example.replace(str(PARTITION), str(partition)).replace("ARGUMENT", argument)
        if key.topic_letter is not None:
            slots[key.topic_letter].add(key_slot(f"{namespace}:{built}".encode()))
    assert set(map(len, slots.values())) == {1}
