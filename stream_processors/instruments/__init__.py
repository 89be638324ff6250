"""The catalog: each instrument as its newest record describes it."""
