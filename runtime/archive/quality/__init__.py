"""Checks the archive's rows with Great Expectations.

`suite` builds expectations from `contracts.archive_rules`, `reading` yields a snapshot's rows in
batches, with added columns for what a row alone does not show, `checking` sums up the violations,
and `docs` renders them as pages. Only programs that check import any of it.
"""

import logging

# It logs each of its functions on import.
logging.getLogger("great_expectations").setLevel(logging.WARNING)
