"""Text tests: files of a graph, and of what must become of it.

    // passes: simplify, dce
    func @main(...) ...
    // expect
    func @main(...) ...

`pytest --bless` rewrites what follows `// expect`; read the difference before you commit it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.target import Target
from ingot.ir.text import parse
from ingot.ir.verify import verify

MARK = "// expect\n"


def files(beside: str) -> list[Path]:
    """The text tests in the folder of a module, or in its folder texts/. There are some."""
    folder = Path(beside).parent
    found = sorted([*folder.glob("*.ir"), *folder.glob("texts/*.ir")])
    assert found, f"no text tests beside {beside}"
    return found


def directive(text: str, name: str, default: str = "") -> list[str]:
    """The words of the line `// name: a, b` of a text."""
    found = next((line for line in text.splitlines() if line.startswith(f"// {name}:")), f": {default}")
    return [w.strip() for w in found.partition(":")[2].split(",")]


def check_text(path: Path, bless: bool, make: Callable[[str], str]) -> None:
    """Compare what `make` gives for the text before `// expect` with what follows it; with `bless`, rewrite that."""
    head, _, expected = path.read_text().partition(MARK)
    got = make(head)
    if bless:
        path.write_text(head + MARK + got)
    elif got != expected:
        diff = "".join(difflib.unified_diff(expected.splitlines(True), got.splitlines(True), "expected", "got"))
        pytest.fail(f"{path.name}: something else came out; if it is right, run pytest with --bless\n{diff}", pytrace=False)


def lowered(text: str, target: Target, stages: Sequence[str]) -> str:
    """What these stages make of the graph of a text; every stage is verified on the way."""
    unknown = set(stages) - {s.name for s in STAGES}
    assert not unknown, f"no such stage: {', '.join(sorted(unknown))}"
    texts: list[str] = []

    def watch(stage, value):
        stage.verify(value)
        if stage.name in stages:
            texts.append(stage.text(value))

    run(verify(parse(text)), target, STAGES, watch)
    return "\n".join(texts)
