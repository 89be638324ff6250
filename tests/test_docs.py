"""What the documents name exists: files, headings, make targets, programs, keys; examples hold."""

import doctest
import importlib
import importlib.util
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

import pytest

from tests.commands import ROOT
from tests.contracts.keys import keys

DOCUMENTS: Final = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)
FENCE: Final = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`([^`\n]+)`")
LINK: Final = re.compile(r"""\]\(([^()\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")
HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
MAKE_TARGET: Final = re.compile(r"\bmake(?: [A-Z]+=\S+)* ([a-z][a-z-]*)")
PROGRAM: Final = re.compile(r"\bpython3? -m ([a-z_]+(?:\.[a-z_]+)*)")
KEYS: Final = list(keys())
KINDS: Final = [
    "|".join({k.kind for k in KEYS if bool(k.topic_letter) is is_tagged})
    for is_tagged in (True, False)
]
KEY: Final = re.compile(
    r"(?<![\w/])(?:[\w.-]+:)?"
    rf"((?:{KINDS[0]}):\{{[^\s\"'`]*|(?:{KINDS[1]}):[^\s\"'`|]*[^\s\"'`|:])"
)
ALL_OF_A_KIND: Final = frozenset({"model:*", "idempotency:*"})
"""Rights of Redis users, as shown in docs/redis.md."""
NOT_OURS: Final = frozenset({"venv", "pip"})
"""Modules of Python that the documents run."""


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def code_in(text: str) -> list[str]:
    """Return the code in a text: its fenced blocks and its spans."""
    fenced = [match.group() for match in FENCE.finditer(text)]
    return fenced + CODE.findall(FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a text."""
    plain = (heading.lower() for heading in HEADING.findall(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def relative_links(text: str) -> Iterator[str]:
    for markdown, html in LINK.findall(FENCE.sub("", text)):
        link = markdown or html
        if not re.match(r"[a-z]+:", link):
            yield link


def broken(document: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (ROOT / document).parent / path if path else ROOT / document
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target.read_text(encoding="utf-8"))


def keys_in(text: str) -> list[str]:
    return [key for code in code_in(text) for key in KEY.findall(code)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_to_a_file_and_a_heading(document: str) -> None:
    links = relative_links(text_of(document))
    assert [link for link in links if broken(document, link)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    named = {name for code in code_in(text_of(document)) for name in MAKE_TARGET.findall(code)}
    assert named - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_program_that_is_named_can_be_run(document: str) -> None:
    named = {name for code in code_in(text_of(document)) for name in PROGRAM.findall(code)}
    assert {name for name in named - NOT_OURS if not runnable(name)} == set()


def runnable(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    return spec is not None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_key_that_is_shown_is_one_that_the_keyspace_builds(document: str) -> None:
    shapes = [key.shape() for key in KEYS]
    shown = [key for key in keys_in(text_of(document)) if key not in ALL_OF_A_KIND]
    assert [key for key in shown if not any(shape.fullmatch(key) for shape in shapes)] == []


FOLDERS: Final = (
    *("api", "archive", "benchmarks", "contracts", "infra", "operations", "producers", "runtime"),
    *("stream_processors", "trainer", "clients/python/src/tickrec_client"),
)
ELSEWHERE: Final = "runtime.archive.quality."
"""Great Expectations takes seconds to import: tests that need it anyway check these."""


def modules_with_examples() -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(file.relative_to((ROOT / folder).parent).with_suffix("").parts)
            if ">>>" in file.read_text() and not name.startswith(ELSEWHERE):
                yield name.removesuffix(".__init__")


@pytest.mark.parametrize("name", [*modules_with_examples()])
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    if name.startswith("trainer.spark") and find_spec("pyspark") is None:
        pytest.importorskip(name, exc_type=ModuleNotFoundError)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert found.failed == 0
