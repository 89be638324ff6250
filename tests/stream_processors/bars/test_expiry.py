"""No key of bars lives forever: a bar written after its key expired gets an expiry again."""

from contracts.messages import Quote, encode
from contracts.topics import QUOTES
from tests.stream_processors.folding import folds_of_quotes
from tests.stream_processors.in_memory import KEYSPACE, InMemoryClaim, InMemoryProducer
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import Hashes

EXPIRE_S = 600
MINUTE_S = 1_700_000_040


async def test_a_bar_written_after_its_key_expired_gets_an_expiry_again() -> None:
    data: Hashes = {}
    claim, now_s, ends_s = InMemoryClaim(data, QUOTES), 0.0, 0.0
    fold = folds_of_quotes(
        claim.as_claim(), InMemoryProducer(), expire_s=EXPIRE_S, monotonic_s=lambda: now_s
    )
    key = KEYSPACE.bars(0, 4)
    # A feed that repeats the last trade, with its old time.
    quote = encode(Quote(instrument_id=4, price=10.0, size=100, ts=MINUTE_S * 1000))
    for offset, passed_s in enumerate((0, 200, 200, 700, 100, 599, 1_000)):
        now_s += passed_s
        if now_s >= ends_s:
            data.pop(key, None)
        await fold.take(batch_of(QUOTES.name, 0, [(offset, quote)]))
        groups = list((await fold.unwritten()).groups)
        claim.write(groups)
        fold.written()
        commands = next(group.commands for group in groups if group.key == key)
        if "EXPIRE" in commands:
            ends_s = now_s + EXPIRE_S
        assert now_s < ends_s, "the key has no expiry"
        assert data[key]["newest"] == str(MINUTE_S)
