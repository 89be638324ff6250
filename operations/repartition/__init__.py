"""Copies topics into others with another number of partitions, for a second namespace to fold.

docs/partitions.md explains what may be written when.
"""
