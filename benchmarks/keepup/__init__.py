"""A live feed that a worker keeps up with: the scenario, the publisher and the prober."""
