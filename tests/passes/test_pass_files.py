"""Text tests: each `*.ir` beside this file names passes, a graph, and the graph that must come out.

    // passes: simplify, dce
    func @main(...) ...
    // expect
    func @main(...) ...

`pytest --bless` rewrites what follows `// expect`; read the difference before you commit it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir.passes.table import PASSES
from ingot.ir.text import parse, print_graph
from ingot.ir.verify import verify

FILES = sorted(Path(__file__).parent.glob("*.ir"))
MARK = "// expect\n"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_passes(path, bless):
    head, _, expected = path.read_text().partition(MARK)
    first = next(line for line in head.splitlines() if line.startswith("// passes:"))
    graph = verify(parse(head))
    for name in first.removeprefix("// passes:").split(","):
        graph = verify(PASSES[name.strip()](graph))
    got = print_graph(graph, locations=True, payloads=True)
    if bless:
        path.write_text(head + MARK + got)
    elif got != expected:
        diff = "".join(difflib.unified_diff(expected.splitlines(True), got.splitlines(True), "expected", "got"))
        pytest.fail(f"{path.name}: another graph came out; if it is right, run pytest with --bless\n{diff}", pytrace=False)


def test_there_are_files():
    assert FILES
