from tests.docs.line_budgets import count_lines, over_budget, read_budgets

PAGE = """
| room | budget |
|---|---:|
| `api/` | 1,000 |
| `docs/` and the root | 50 |
| all | 1,020 |
"""


def test_a_room_over_its_budget_is_named_and_so_is_one_without():
    counts = count_lines({"api/app.py": 1_001, "README.md": 20, "attic/old.py": 1})

    assert over_budget(counts, read_budgets(PAGE)) == [
        "api: 1,001 lines, budget 1,000: take out what nobody needs",
        "attic: no budget in the table of CONTRIBUTING.md",
        "all: 1,022 lines, budget 1,020: take out what nobody needs",
    ]


def test_locks_vendored_and_generated_files_do_not_count():
    left_out = [
        "requirements-api.lock",
        "web/vendor/preact.js",
        "docs/settings.md",
        "docs/page.png",
    ]

    assert count_lines(dict.fromkeys([*left_out, "docs/api.md"], 7)) == {"docs": 7, "all": 7}
