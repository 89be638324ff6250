"""A seeded model of a market and its users: pure, and time is an argument."""

from producers.simulation.stream import Plan, simulated
from producers.simulation.world import World, make_world

__all__ = ["Plan", "World", "make_world", "simulated"]
