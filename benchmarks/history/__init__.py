"""Bars past what Redis retains, read over HTTP from an archive of 50,000 instruments.

Hypothesis: a day of minutes of one instrument comes within 200 ms, though 50,000 are archived with
it; and reads of what Redis retains are not affected by the archive.

Work: the table `bars` with yesterday's minutes of 50,000 instruments. Of one of its 16 buckets
everything is written, some 4.6 million rows in one sorted file as compaction leaves it; the others,
which a read of that bucket never opens, hold a few rows each. Instruments of the full bucket are
asked for the day, none twice, in two pages of up to 1,000 bars, over one connection; each page is
checked. Then wrk asks two APIs in turn for the last five minutes of instruments, one with the
archive and one without, and once more the one with the archive while others read the archive as
fast as they can.
"""
