"""Folds user events into histories, and into changes of the Gram matrix."""
