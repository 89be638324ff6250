"""What every program needs to run: shared settings, clients, logs. It depends on no program."""
