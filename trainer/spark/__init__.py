"""Counts and histories made by Spark of the archive's interactions, instead of read out of Redis.

Whatever comes after them, models and publication, is the trainer's own. Needs the extra `spark`.
"""
