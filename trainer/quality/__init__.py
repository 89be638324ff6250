"""Whether what stands in Redis is fit to be trained on.

`measures` turns the counts into figures about each item and about all of them, `popularity` says
how far what is popular has moved, `rules` declares what these must be, `checking` finds what does
not hold, and `gate` ends the run if that is a hard rule: nothing is published, and what is served
stays. A broken soft rule is only noted in the log and in the report.

The workers go on writing while counts are read (`trainer.counts.gram`), so two entries that must be
equal may differ by what came in between. The rules ask how many of the counts that touches, and not
whether it ever happens.
"""
