"""The archive's tables as every program reaches them: where they are, how far they go."""
