"""What every program needs to run: shared settings, clients, logs. It knows no program."""
