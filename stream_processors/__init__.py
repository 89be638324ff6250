"""The Faust app: folds quotes into bars and interactions into counts, in Redis."""
