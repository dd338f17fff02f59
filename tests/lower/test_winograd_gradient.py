"""Gradients of 3 x 3 weights by minimal filtering: every edge, what is not finite, every level, any threads, long sums."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.graph import Graph
from ingot.ir.lower.tiles.winograd_gradient_schedule import WinogradGradient
from ingot.ir.op import OPS
from ingot.runtime import threads
from tests.support.calling import CPU, HOST_LEVELS, compare, load
from tests.support.graphs import arrays_for, graph_of
from tests.support.windows import POINT, schedules, twice

CASES = {  # images, channels, results, height and width of the input, padding
    "even": (4, 32, 64, (20, 20), ((1, 1), (1, 1))),
    "odd": (5, 64, 32, (15, 13), ((1, 1), (1, 1))),
    "no padding": (3, 32, 32, (21, 24), ((0, 0), (0, 0))),
    "more padding than a window": (3, 32, 32, (19, 20), ((3, 0), (0, 4))),
    "several blocks of channels, results of no whole vectors": (2, 128, 100, (24, 24), ((1, 1), (1, 1))),
    "several parts": (8, 32, 33, (34, 66), ((1, 1), (1, 1))),
}


def graph(case: str) -> Graph:
    """Between pointwise convolutions, so that channels lie last, and scaled."""
    n, c, o, size, padding = CASES[case]
    made = tuple(m + sum(p) - 2 for m, p in zip(size, padding))
    geometry = {**POINT, "padding": padding}

    def function(x, a, g, b, weight):
        x, g = OPS["conv"](x, a, **POINT), OPS["conv"](g, b, **POINT)
        return OPS["conv_weight_grad"](x, g, weight_shape=(o, c, 3, 3), **geometry) * weight

    return graph_of([(n, 4, *size), (c, 4, 1, 1), (n, 4, *made), (o, 4, 1, 1), (o, c, 3, 3)], function)


def arrays_of(g: Graph) -> list[np.ndarray]:
    """Arrays by which all that is calculated is about as large as 1."""
    arrays = [np.asarray(a, np.float32) for a in arrays_for(g)]
    n, _, *size = arrays[2].shape
    return [a / np.float32(2 if i in (1, 3) else np.sqrt(n * np.prod(size)) if i == 4 else 1) for i, a in enumerate(arrays)]


def chosen(g: Graph, machine) -> int:
    return sum(isinstance(s, WinogradGradient) for s in schedules(g, machine))


@pytest.mark.parametrize("case", CASES)
def test_a_gradient(case: str) -> None:
    g = graph(case)
    assert chosen(g, CPU.host_level().machine) == 1
    arrays = arrays_of(g)
    first, second = twice(g, arrays)
    compare(g, arrays, first, 0.05)
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("special", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("at", ["input", "gradient"])
def test_what_is_not_finite_stays_where_it_is(special: float, at: str) -> None:
    """In a corner, which only some taps read, of one channel; numbers as large as make infinite sums, where all taps read them."""
    g = graph("odd")
    arrays = arrays_of(g)
    c, o = arrays[1].shape[0], arrays[3].shape[0]
    arrays[1][...], arrays[3][...] = 0, 0
    arrays[1][np.arange(c), np.arange(c) % 4, 0, 0], arrays[3][np.arange(o), np.arange(o) % 4, 0, 0] = 1, 1
    one, other = (0, 2) if at == "input" else (2, 0)
    row = 6 if special == 3e38 else 0
    arrays[one][2, 1, row, row - 1], arrays[one][2, 1, row, row - 3] = special, -special
    arrays[other] *= np.float32(1e-3 if special == 3e38 else 1)
    with np.errstate(all="ignore"):
        first, _ = twice(g, arrays)
        assert special == 3e38 or at == "gradient" or 0 < np.isfinite(first[0]).mean() < 1
        compare(g, arrays, first, 0.05)


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_every_level(level) -> None:
    g = graph("odd")
    assert chosen(g, level.machine) == 1
    program = CPU.lower(g, level)
    arrays = arrays_of(g)
    outs = [np.full(t.shape, 3, t.dtype.numpy) for t in g.out_types]
    assert load(program, level)([*arrays, *outs]) == 0
    compare(g, arrays, outs, 0.05)


def test_bits_do_not_depend_on_threads() -> None:
    g = graph("several parts")
    arrays = arrays_of(g)
    before, found = threads.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            found.append(twice(g, arrays)[0][0])
    finally:
        threads.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_long_sums_stay_exact() -> None:
    """64 thousand terms of one sign: off by a few roundings, not by the root of their number."""
    n, c, o, size = 16, 32, 32, (64, 64)
    geometry = {**POINT, "padding": ((1, 1), (1, 1))}

    def with_weights(x, g, a, b):
        x, g = OPS["conv"](x, a, **POINT), OPS["conv"](g, b, **POINT)
        return OPS["conv_weight_grad"](x, g, weight_shape=(o, c, 3, 3), **geometry)

    g = graph_of([(n, 1, *size), (n, 1, *size), (c, 1, 1, 1), (o, 1, 1, 1)], with_weights)
    assert chosen(g, CPU.host_level().machine) == 1
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(0.5, 1.5, (n, 1, *size)).astype(np.float32) for _ in range(2))
    (found,), _ = twice(g, [x, y, np.ones((c, 1, 1, 1), np.float32), np.ones((o, 1, 1, 1), np.float32)])
    padded = np.pad(x[:, 0].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    exact = np.array([[(padded[:, a : a + 64, b : b + 64] * y[:, 0]).sum() for b in range(3)] for a in range(3)])
    assert np.abs(found / exact - 1).max() < 4e-7
