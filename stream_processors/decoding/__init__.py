"""Decodes the records of each topic: once a batch, whatever folds the topic has."""
