"""The served models: generations, and the ids of answers made from them."""
