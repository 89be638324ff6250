"""A wrong mapping is refused before a record is read; the error names the place and the remedy."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from producers.__main__ import app

GOOD = """
[[sources]]
topic = "ticks"
into = "quotes"
example = '{"id": 4, "last": 30.72, "at": 1629061628123}'
[sources.fields]
instrument_id = "id"
price = "last"
ts = "at"
"""


def shown(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "mapping.toml"
    path.write_text(text)
    done = CliRunner().invoke(app, ["adapt", "--mapping", str(path), "--dry-run"])
    return done.exit_code, done.output


def test_a_dry_run_shows_what_becomes_of_each_example(tmp_path: Path) -> None:
    assert shown(tmp_path, GOOD) == (
        0,
        """\
ticks -> quotes
  before: {"id": 4, "last": 30.72, "at": 1629061628123}
  after:  key 4, value {"instrument_id":4,"price":30.72,"ts":1629061628123}
""",
    )


PRICES = [
    ("", "quotes need price: add it to the table `fields`"),
    ('price = {path = "last", pathh = 1}', "unknown field `pathh`"),
    ('price = {path = "last", constant = 1}', "price has path and constant: give exactly one"),
    ("price = {}", "price has no source: give exactly one of path, mean, symbol, constant"),
    ('price = {symbol = "last"}', "price: `symbol` is for the instrument_id of quotes"),
    ('price = {path = "last", unit = "s"}', "price: `unit` is for ts"),
    ("price = {constant = 1, default = 2}", "price: a constant needs no default"),
    ('price = {path = "last", others = "skip"}', "price: `others` goes with `values`"),
    ('prize = "last"', "quotes have no field prize, only instrument_id, price"),
]
CONDITIONS = [
    ("", "no condition: give exactly one of in, not_in, matches, not_matches"),
    (', in = [1], matches = "1"', "in and matches: give exactly one of"),
    (', matches = "("', "missing ), unterminated subpattern"),
    (
        ', matches = "a{4294967296}"',
        "the repetition number is too large: give a regular expression",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[[sources]]", "[sources", "Expected ']'"),
        ('into = "quotes"', 'into = "bars"', "Invalid enum value 'bars' - at `$.sources[0].into`"),
        ('"ticks"', '"quotes"', "topic quotes is Tickrec's own: name one of yours"),
        ('into = "quotes"', 'into = "quotes"\nschema = "x"', 'no effect with format = "json"'),
        ('into = "quotes"', 'into = "quotes"\nformat = "protobuf"', "goes with format"),
        ('into = "quotes"', 'into = "quotes"\nmessage = "x"', "goes with format"),
        *(('price = "last"', new, reason) for new, reason in PRICES),
        *(
            ("[sources.", f'where = [{{path = "id"{rule}}}]\n[sources.', f"where id: {reason}")
            for rule, reason in CONDITIONS
        ),
        ("30.72", "-1", "price: must be a number of at least 1e-18, got -1"),
        ("[sources.", 'where = [{path = "id", in = [7]}]\n[sources.', "the example is left out"),
        ("30.72", "x", "topic ticks: the example is not JSON"),
        ("1629061628123", "1629061628", "ts 1629061628 is before 1990-01-01"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    code, said = shown(tmp_path, GOOD.replace(old, new, 1))
    assert code == 2
    assert reason in said


def test_a_topic_is_named_once_and_a_file_must_be_there(tmp_path: Path) -> None:
    assert "topic ticks is named twice" in shown(tmp_path, GOOD + GOOD)[1]
    done = CliRunner().invoke(app, ["adapt", "--mapping", str(tmp_path / "none"), "--dry-run"])
    assert (done.exit_code, "give the path of a readable file" in done.output) == (2, True)


@pytest.mark.parametrize("format_", ["avro", 'protobuf"\nmessage = "shop.Tick'])
def test_a_format_with_a_registry_needs_one(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(GOOD.replace("into =", f'format = "{format_}"\ninto =', 1))
    done = CliRunner().invoke(app, ["adapt", "--mapping", str(path)])
    assert (done.exit_code, "name its address as SCHEMA_REGISTRY_URL" in done.output) == (2, True)
