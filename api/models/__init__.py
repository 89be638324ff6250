"""What is served: generations, and the ids of answers made from them."""
