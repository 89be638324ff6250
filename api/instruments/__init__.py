"""Instruments: the catalog, and similar instruments."""
