"""The baselines: each a program of its own, written as its tools' documentation shows."""
