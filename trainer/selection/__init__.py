"""`ITEM_MODEL=auto`: which model, counts and settings predict best what users did last."""
