"""Speeds as ratios to baselines that run in the same call, interleaved, on the same data."""
