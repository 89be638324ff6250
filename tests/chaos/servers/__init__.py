"""Servers that may be killed at any moment and restarted on their data."""

from tests.chaos.servers.kafka import Kafka, own_kafka
from tests.chaos.servers.restartable import Restartable
from tests.chaos.servers.store import durable_store

__all__ = ["Kafka", "Restartable", "durable_store", "own_kafka"]
