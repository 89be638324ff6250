"""Live bars to many clients: the scenario, what writes the bars and what listens to them."""
