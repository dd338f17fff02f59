"""Random eager programs at many sizes: NumPy's values, and few plans."""

import numpy as np
import pytest

from ingot.runtime import plans
from ingot.runtime.plans import stats
from tests.support.sized_programs import SizedProgram

SIZES = [(3, 5), (7, 2), (2, 3), (5, 11), (1, 1), (1, 4), (4, 1), (0, 3), (3, 0), (0, 0), (13, 7), (2, 17)]


def check(seed: int, sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The plans and the flushes that one program takes at these sizes."""
    program = SizedProgram(seed)
    plans.clear()
    before = dict(stats)
    for n, m in sizes:
        given = {"n": n, "m": m}
        for k, (x, y) in enumerate(zip(program.run(given, True), program.run(given, False))):
            assert x.shape == y.shape, f"seed {seed}, {given}, step {k}: {x.shape} is not {y.shape}\n{program}"
            scale = np.abs(y).max(initial=1.0, where=np.isfinite(y))
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * scale, err_msg=f"seed {seed}, {given}, step {k}\n{program}")
    return stats["plans"] - before["plans"], stats["flushes"] - before["flushes"]


@pytest.mark.parametrize("seed", range(30))
def test_values_at_all_sizes(seed):
    check(seed, SIZES)


def test_most_programs_take_few_plans(long):
    """Empty tensors and extents of 1 broadcast and are refused at other places: some programs take more."""
    rng = np.random.default_rng(5)
    sizes = [(int(n), int(m)) for n, m in rng.integers(2, 40, (12, 2))]
    taken = [check(seed, sizes)[0] for seed in range(100, 3000 if long else 130)]
    assert sorted(taken)[len(taken) // 2] <= 3 and np.mean(taken) <= 5, taken
