"""Training: counts in Redis to published lists, against scikit-learn from the matrix."""
