"""Random graphs, compiled, against the interpreter. INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more."""

from __future__ import annotations

import os

import pytest

from tests.support.calling import check
from tests.support.generate import case_text, generate, shrink

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "120"))


def fails(graph, arrays) -> bool:
    try:
        check(graph, arrays, scale=20)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_compiled_graph(seed: int) -> None:
    print(f"seed {seed}")
    graph, arrays = generate(seed, 4 + seed % 24)
    if fails(graph, arrays):
        graph, arrays = shrink(graph, arrays, fails)
        print(case_text(graph, arrays))
        check(graph, arrays, scale=20)
        pytest.fail(f"seed {seed} failed, its smaller form did not")
