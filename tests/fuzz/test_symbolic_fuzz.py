"""Random graphs with symbolic dims, lowered once, at several sizes against the interpreter."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ingot.ir.loop.verify import verify_program
from ingot.ir.lower import lower
from tests.support.calling import WIDE
from tests.support.generate import generate
from tests.support.symbolic import arrays_of, check_loops, symbolic

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "60"))
EXTENTS = (0, 1, 2, 3, 5, 7, 11, 13)
SIZES = 5


def sizes_of(graph, example, rng):
    """Some sizes for the symbols of a graph: its own, and others."""
    yield example
    for _ in range(SIZES - 1):
        some = {s.name: int(rng.choice(EXTENTS)) for s in graph.symbols}
        yield {s.name: int(min(max(some[s.name], s.min), s.max)) for s in graph.symbols}


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_symbolic_program(seed: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    graph, arrays = generate(seed, 4 + seed % 12)
    found = symbolic(graph, rng)
    if found is None:
        return
    graph, example = found
    print(graph)
    program = lower(graph, WIDE)
    verify_program(program)
    for sizes in sizes_of(graph, example, rng):
        print(sizes)
        check_loops(graph, program, arrays_of(graph, arrays, sizes), sizes)
