"""Hold-outs and what is measured on them: what users are found to do next, for one list or another.

It serves training (`selection`, `experiments`, gates) and `evaluate` alike, and knows none of them.
"""
