"""A live feed that a worker keeps up with: the scenario, and what publishes and probes."""
