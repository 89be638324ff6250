"""Brokers that die or hang, and workers that cannot reach them."""

import random
import signal
from typing import Final

from confluent_kafka import KafkaException

from runtime.kafka.broker import Admin
from runtime.kafka.config import plain
from tests.chaos.faults.workers import CUT_S, LONG_S, MOMENT_S, Seconds, one
from tests.chaos.messages import FOLLOWED
from tests.chaos.proxy import Link, Proxy
from tests.chaos.servers.restartable import Restartable
from tests.chaos.world import World

_ANSWER_WITHIN_S: Final = 10
_ASK_AGAIN_S: Final = 0.5


def restart_broker(world: World, rng: random.Random) -> Seconds:
    """Kill a broker with -9, one that leads a partition, and start it again on its data."""
    broker, name = _leader(world, rng)
    world.say(f"kill -9 {name}")
    broker.kill()
    yield rng.uniform(*MOMENT_S)
    world.say(f"start {name}")
    broker.start()
    yield from world.until(lambda: _is_well(world, broker))
    world.say(f"{name} answers")


def pause_broker(world: World, rng: random.Random) -> Seconds:
    broker, name = _leader(world, rng)
    seconds = rng.uniform(*CUT_S)
    world.say(f"SIGSTOP {name} for {seconds:.1f} s")
    broker.signal(signal.SIGSTOP)
    yield seconds
    world.say(f"SIGCONT {name}")
    broker.signal(signal.SIGCONT)
    yield from world.until(lambda: _is_well(world, broker))


def cut_from_broker(world: World, rng: random.Random) -> Seconds:
    """Disconnect a worker from the brokers, or stall all traffic between them."""
    worker = one(world, rng)
    assert worker.to_broker is not None
    yield from cut(world, rng, worker.name, worker.to_broker, "the brokers")


def cut_from_coordinator(world: World, rng: random.Random) -> Seconds:
    """Disconnect a worker from the broker that coordinates its consumer group."""
    while (coordinator := _coordinator(world)) is None:
        yield _ASK_AGAIN_S
    worker = one(world, rng)
    assert worker.to_broker is not None
    proxy = worker.to_broker.proxies[coordinator - 1]
    yield from cut(world, rng, worker.name, proxy, f"its coordinator, broker {coordinator}")


def cut_from_broker_for_long(world: World, rng: random.Random) -> Seconds:
    """Disconnect a worker from the brokers for longer than any timeout."""
    worker = one(world, rng)
    assert worker.to_broker is not None
    yield from cut(world, rng, worker.name, worker.to_broker, "the brokers", LONG_S)


def cut(
    world: World,
    rng: random.Random,
    worker: str,
    way: Link | Proxy,
    server: str,
    seconds: float | None = None,
) -> Seconds:
    yield from world.until(lambda: way.is_open)
    seconds = seconds or rng.uniform(*CUT_S)
    is_cut = rng.random() < 0.5
    world.say(f"{'cut' if is_cut else 'stall'} {worker} from {server} for {seconds:.1f} s")
    (way.cut if is_cut else way.stall)()
    yield seconds
    world.say(f"{worker} reaches {server} again")
    way.open()


def _coordinator(world: World) -> int | None:
    """Return the id of the workers' group coordinator, None while it moves."""
    group = world.keyspace.consumer_group()
    # A new client, as librdkafka's keeps asking the former one.
    admin = Admin(plain(world.kafka.bootstrap_servers))
    answers = admin.describe_consumer_groups([group], request_timeout=_ANSWER_WITHIN_S)
    try:
        return int(answers[group].result().coordinator.id)
    except KafkaException:
        return None


def _leader(world: World, rng: random.Random) -> tuple[Restartable, str]:
    """Return a broker that leads some partition, and its name."""
    servers = world.kafka.servers
    if len(servers) == 1:
        return servers[0], "the broker"
    topic = rng.choice(FOLLOWED)
    partitions = world.admin.list_topics(topic.name, _ANSWER_WITHIN_S).topics[topic.name].partitions
    p = rng.choice(sorted(partitions))
    leader = partitions[p].leader
    return servers[leader - 1], f"broker {leader}, which leads {topic.name}/{p}"


def _is_well(world: World, broker: Restartable) -> bool:
    """Whether a broker answers, and every broker has every record."""
    if not (broker.listens() and broker.answers()):
        return False
    topics = world.admin.list_topics(timeout=_ANSWER_WITHIN_S).topics.values()
    return all(
        p.leader >= 0 and len(p.isrs) == len(p.replicas)
        for topic in topics
        for p in topic.partitions.values()
    )
