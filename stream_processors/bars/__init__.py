"""Quotes to minute bars."""
