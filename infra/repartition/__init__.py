"""Copies topics into others with another number of partitions, for a second namespace to fold.

docs/partitions.md says what may be written when.
"""
