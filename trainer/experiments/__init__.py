"""A new generation on trial: some users get it, and after a while it is judged once.

`rules` reads the criteria, `accuracy` measures its lists and the served ones on what users did
since, `clicks` counts the clicks on either, `verdict` compares, and `trial` acts on the verdict.
It is judged once, as soon as its time is over and enough was seen: looking repeatedly until one is
ahead finds a winner among equals (Johari et al., "Peeking at A/B
tests", KDD 2017).
"""
