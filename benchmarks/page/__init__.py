"""The page in a browser, on loopback, while the instruments that it lists are quoted.

Hypothesis: the first view takes 200 kB and a second to the first candle; while 100 instruments
stream, nothing holds the browser's main thread for 50 ms; left open, the page does not grow; and a
quote is in its candle within 2 s.

Work: a worker, an API and Debian's Chromium, without a screen, share the machine with broker and
store. Each of 100 described instruments has bars of four hours and quotes once a second; the list
and the chart follow. The view is loaded in new profiles, whose caches are empty. The bytes are
those that the network carried, headers and answers of the API included, until two seconds after the
first candle was drawn. The heap is looked at after a collection: once the page has settled, and
after each tenth of the time. Then quotes of one more instrument are timed, from when each goes to
the broker until the row of its candle shows it.

Baseline: the clock.
"""
