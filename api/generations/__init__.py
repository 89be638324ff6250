"""The served generations: their pointer, their popular lists, and the ids of answers from them."""
