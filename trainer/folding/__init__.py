"""Events to histories, as the stream folds them: for the archive on Spark, and for files."""
