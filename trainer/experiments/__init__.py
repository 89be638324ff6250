"""Variants and canaries: what each one's users newly took, compared once, when a period is over.

`ndcg` and `clicks` measure one figure a user, `periods` compares the means of two variants' users.
`canary` is the gate that tries each new generation on some users first. A period is fixed before it
begins: looking repeatedly until one is ahead finds a winner among equals (Johari et al., "Peeking
at A/B tests", KDD 2017).
"""
