"""A new generation on trial: some users have it, and after a while it is judged once.

`rules` reads what it is judged by, `holdout` measures its lists and the served ones on what users
did since, `clicks` counts what was clicked of either, `verdict` compares, and `trial` does as it
says. Judged once, as soon as its time is over and enough was seen, whatever that says: looking
again and again until one is ahead finds a winner among equals (Johari et al., "Peeking at A/B
tests", KDD 2017).
"""
