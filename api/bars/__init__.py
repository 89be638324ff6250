"""Bars of instruments."""
