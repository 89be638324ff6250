"""Kafka as every program reaches it: settings, tokens, rights, and what refusals mean."""
