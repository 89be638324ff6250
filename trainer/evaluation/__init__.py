"""How good a model's lists are on a file of events, measured on what users did afterwards.

A hold-out (`preparing`) comes from a file (`files`, `splits`). A fitted model recommends to its
users as the API would (`trainer.judging.lists`), and the lists are judged (`measuring`) by the
measures in `metrics`, each with a confidence interval. `page` shows the result as HTML.
"""
