"""3 x 3 convolutions by minimal filtering: every edge, what is not finite, every level and batch, any threads."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.graph import Graph
from ingot.ir.lower.tiles.winograd_schedule import Winograd
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from ingot.runtime import memory, threads
from tests.support.calling import CPU, HOST_LEVELS, compare, load
from tests.support.graphs import arrays_for, graph_of
from tests.support.windows import POINT, schedules, twice

CASES = {  # images, channels, results, height and width, padding
    "even": (1, 32, 64, (12, 12), ((1, 1), (1, 1))),
    "odd": (2, 64, 32, (15, 13), ((1, 1), (1, 1))),
    "no padding": (1, 32, 32, (11, 14), ((0, 0), (0, 0))),
    "more padding than a window": (1, 32, 32, (9, 10), ((3, 0), (0, 4))),
    "several blocks": (1, 64, 96, (40, 66), ((1, 1), (1, 1))),
    "many channels": (1, 256, 64, (14, 14), ((1, 1), (1, 1))),
    "several images in a block": (7, 128, 32, (8, 8), ((1, 1), (1, 1))),
}


def graph(case: str, steady: bool = True) -> Graph:
    """Between two pointwise convolutions, so that channels lie last, and added to what it reads where that fits."""
    n, c, o, size, padding = CASES[case]
    same = c == o and padding == ((1, 1), (1, 1))

    def function(x, a, w, bias, b):
        x = OPS["conv"](x, a, **POINT)
        y = OPS["conv"](x, w, **{**POINT, "padding": padding}) + bias
        return OPS["conv"](OPS["maximum"](y + x if same else y, bias), b, **POINT)

    g = graph_of([(n, 8, *size), (c, 8, 1, 1), (o, c, 3, 3), (1, o, 1, 1), (8, o, 1, 1)], function)
    return g.replace(steady=frozenset({1, 2, 4})) if steady else g


def slots(g: Graph, arrays, kept: int, outs):
    """What a call gives: inputs, outputs, and memory that is not filled yet."""
    return [*arrays, *outs, *([memory.unfilled(kept).array(np.dtype(np.uint8), (kept,))] if kept else [])]


def normed(g: Graph) -> list[np.ndarray]:
    """Arrays by which all that is calculated is about as large as 1."""
    arrays = [np.asarray(a, np.float32) for a in arrays_for(g)]
    return [a / np.sqrt(np.float32(np.prod(a.shape[1:]))) if i in (1, 2, 4) else a for i, a in enumerate(arrays)]


@pytest.mark.parametrize("case", CASES)
def test_a_convolution(case: str) -> None:
    g = graph(case)
    arrays = normed(g)
    first, second = twice(g, arrays)
    compare(g, arrays, first, 0.05)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def test_channels_that_lie_apart() -> None:
    """Alone between a graph's input and its output, which are row-major."""
    g = graph_of([(2, 32, 13, 12), (64, 32, 3, 3)], lambda x, w: OPS["conv"](x, w, **{**POINT, "padding": ((1, 1), (1, 1))}))
    g = g.replace(steady=frozenset({1}))
    assert any(isinstance(s, Winograd) for s in schedules(g, CPU.host_level().machine))
    arrays = [np.asarray(a, np.float32) for a in arrays_for(g)]
    arrays[1] /= np.sqrt(np.float32(9 * 32))
    first, second = twice(g, arrays)
    compare(g, arrays, first, 0.05)
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("special", [np.inf, np.nan, 3e38])
def test_what_is_not_finite_stays_where_it_is(special: float) -> None:
    """Differences of infinities are NaN, and those of numbers as large as this infinite, where no window reads them."""
    n, c, o, size, padding = CASES["odd"]
    geometry = {**POINT, "padding": padding}
    g = graph_of([(n, c, *size), (c, c, 1, 1), (o, c, 3, 3)], lambda x, a, w: OPS["conv"](OPS["conv"](x, a, **POINT), w, **geometry))
    g = g.replace(steady=frozenset({1, 2}))
    assert any(isinstance(s, Winograd) for s in schedules(g, CPU.host_level().machine))
    arrays = normed(g)
    arrays[1][...] = np.eye(c)[:, :, None, None]  # one infinity, not one in each channel
    arrays[0][1, 5, 6, 6], arrays[0][1, 5, 7, 7] = special, -special
    arrays[2] = np.abs(arrays[2]) * np.float32(1e-3 if special == 3e38 else 1)
    with np.errstate(all="ignore"):
        first, _ = twice(g, arrays)
        finite = np.isfinite(first[0])
        assert 0 < finite.mean() < 1 or special == 3e38
        compare(g, arrays, first)


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_any_batch_at_every_level(level) -> None:
    g = parse(str(graph("odd")).replace("[2,", "[B,"))
    assert any(isinstance(s, Winograd) for s in schedules(g, level.machine))
    program = CPU.lower(g, level)
    run_it = load(program, level)
    for b in (0, 1, 3):
        rng = np.random.default_rng(b)
        fixed = parse(str(g).replace("[B,", f"[{b},"))
        arrays = normed(fixed) if b else [rng.standard_normal(t.shape).astype(np.float32) for t in fixed.in_types]
        outs = [np.full(t.shape, 3, t.dtype.numpy) for t in fixed.out_types]
        assert run_it([*slots(fixed, arrays, program.kept, outs), np.int64(b)]) == 0
        compare(fixed, arrays, outs)


def test_bits_do_not_depend_on_threads() -> None:
    g = graph("several blocks")
    arrays = arrays_for(g)
    before, found = threads.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            found += twice(g, arrays)
    finally:
        threads.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0][0], other[0])


def test_a_weight_that_changes_is_transformed_for_many_tiles() -> None:
    for machine in (Machine(16), Machine(32), Machine(64)):
        assert any(isinstance(s, Winograd) for s in schedules(graph("even"), machine))
        assert not any(isinstance(s, Winograd) for s in schedules(graph("even", steady=False), machine))
        assert any(isinstance(s, Winograd) for s in schedules(graph("several blocks", steady=False), machine))


@pytest.mark.parametrize("special", [1.0, np.inf, np.nan])
def test_the_gradient_of_the_input(special: float) -> None:
    """Windows over a gradient among zeros that stand for no terms: an infinite weight makes no NaN of them."""
    n, c, o, size, padding = 3, 32, 64, (18, 21), ((1, 1), (0, 2))
    made = (n, o, size[0], size[1])
    geometry = {**POINT, "padding": padding}

    def function(g, a, w, b):
        g = OPS["conv_input_grad"](OPS["conv"](g, a, **POINT), w, input_shape=(n, c, *size), **geometry)
        return OPS["conv"](g, b, **POINT)

    g = graph_of([(n, 8, *made[2:]), (o, 8, 1, 1), (o, c, 3, 3), (8, c, 1, 1)], function)
    assert sum(isinstance(s, Winograd) for s in schedules(g, CPU.host_level().machine)) == 1
    arrays = [np.asarray(a, np.float32) for a in arrays_for(g)]
    arrays = [a / np.sqrt(np.float32(np.prod(a.shape[1:]))) if i else a for i, a in enumerate(arrays)]
    arrays[2][5, 7, 0, 2] *= special
    with np.errstate(all="ignore"):
        first, _ = twice(g, arrays)
        compare(g, arrays, first, 0.05)
        assert np.isnan(first[0]).mean() < 1
