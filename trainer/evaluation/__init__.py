"""How good a model's lists are, measured on what users did afterwards.

A hold-out (`holdout`) comes from a file (`files`, `splits`). A fitted model recommends to its users
as the API would (`recommending`), and the lists are judged (`measuring`) by the measures in
`metrics`, each with a confidence interval (`bootstrap`). `page` shows the result as HTML.
"""
