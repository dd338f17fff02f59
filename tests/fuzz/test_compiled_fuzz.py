"""Random graphs, compiled, against the interpreter. INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ingot.ir.transforms.batch import batch
from tests.support.calling import check
from tests.support.generate import generate, redrawn
from tests.support.shrink import case_text, shrink

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


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT // 4))
def test_compiled_batch(seed: int) -> None:
    """The graphs that batching makes: dims in unusual places, indices that count samples, batches of nothing."""
    print(f"seed {seed}")
    graph, arrays = generate(seed, 4 + seed % 14)
    rng = np.random.default_rng(seed)
    which = tuple(bool(w) for w in rng.random(len(arrays)) < 0.6)
    size = (3, 1, 0)[seed % 3]
    samples = [arrays, *(redrawn(graph, arrays, rng) for _ in range(2))]
    many = [np.stack(xs)[:size] if has else xs[0] for has, xs in zip(which, zip(*samples))]
    check(batch(graph, which, size).graph, many, scale=20)
