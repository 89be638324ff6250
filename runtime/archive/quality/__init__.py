"""Whether the rows of the archive are as they must be, by expectations of Great Expectations.

`suite` makes expectations of `contracts.archive_rules`, `reading` gives a snapshot's rows a batch
at a time, with what a row alone does not say in columns beside it, `checking` sums up what the
batches break, and `docs` writes pages of that. Only who checks imports any of it.
"""

import logging

# It tells of each of its functions while it is imported.
logging.getLogger("great_expectations").setLevel(logging.WARNING)
