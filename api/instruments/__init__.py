"""Instruments: which there are, and which are alike."""
