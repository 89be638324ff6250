"""Whether the data in Redis is fit for training, and a generation fit to be served.

`checking` has the rules, and `figures` what some of them limit; `reporting` ends the run if a hard
rule is broken: nothing is published, and what is served stays. A broken soft rule is only noted in
the log and in the report.

The workers keep writing while counts are read (`trainer.reading.gram`), so two entries that must be
equal may differ by events in between. The rules limit how many of the counts differ.
"""
