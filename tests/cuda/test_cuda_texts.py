"""Text tests: each file of texts/ is a graph, the schedules that are chosen for a GPU, and the kernels and launches written by them.

`pytest --bless` rewrites what follows `// expect`; read the difference before you commit it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir.lower import STAGES, run
from ingot.ir.text import parse
from ingot.ir.verify import verify
from tests.support.cuda import CUDA

FILES = sorted((Path(__file__).parent / "texts").glob("*.ir"))
MARK = "// expect\n"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_lowered_text(path, bless):
    head, _, expected = path.read_text().partition(MARK)
    texts = {}

    def watch(stage, value):
        stage.verify(value)
        texts[stage.name] = stage.text(value)

    run(verify(parse(head)), CUDA.target(CUDA.levels["sm_90"]), STAGES, watch)
    got = texts["schedule"] + "\n" + texts["memory"]
    if bless:
        path.write_text(head + MARK + got)
    elif got != expected:
        diff = "".join(difflib.unified_diff(expected.splitlines(True), got.splitlines(True), "expected", "got"))
        pytest.fail(f"{path.name}: other kernels came out; if they are right, run pytest with --bless\n{diff}", pytrace=False)


def test_there_are_files():
    assert len(FILES) >= 8
