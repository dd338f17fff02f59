"""Text tests: each `*.ir` beside this file names passes, a graph, and the graph that must come out (tests/support/texts.py)."""

from __future__ import annotations

import pytest

from ingot.ir.lower import PASSES
from ingot.ir.text import parse, print_graph
from ingot.ir.verify import verify
from tests.support.texts import check_text, directive, files

FILES = files(__file__)


def passed(text: str) -> str:
    graph = verify(parse(text))
    for name in directive(text, "passes"):
        graph = verify(PASSES[name](graph))
    return print_graph(graph, locations=True, payloads=True)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_passes(path, bless):
    check_text(path, bless, passed)
