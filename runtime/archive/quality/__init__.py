"""Checks the archive's rows with Great Expectations.

`expectations` is the table of what is expected, `rows` yields a snapshot's rows in batches, and
`checking` sums up what breaks an expectation. Only programs that check import any of it.
"""

import logging

# It logs each of its functions on import.
logging.getLogger("great_expectations").setLevel(logging.WARNING)
