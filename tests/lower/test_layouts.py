"""Layouts: chains of convolutions lie with their channels last, and compute what they computed."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes, interpret
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from tests.support.calling import CPU, HOST_LEVELS, check, load, run_compiled
from tests.support.graphs import arrays_for, graph_of
from tests.support.symbolic import check_at

SAME = dict(padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
LAST = (0, 2, 3, 1)


def chain(x, w, scale, v, d):
    """A convolution, a norm, relu, a pool, a convolution of the sum with it, a depthwise one, and the mean of each channel."""
    y = OPS["conv"](x, w, stride=(2, 2), **SAME) * scale
    y = OPS["maximum"](y, y.const(0).broadcast(y.shape))
    p = OPS["window_max"](y, window=(2, 2), stride=(1, 1), padding=((0, 1), (1, 0)), dilation=(1, 1))
    z = OPS["conv"](y + p, v, stride=(1, 1), **SAME) + y
    z = OPS["conv"](z, d, stride=(1, 1), **{**SAME, "groups": z.shape[1]})
    return z, OPS["reduce_sum"](z * p, axes=(0, 2, 3))


def graph(channels: int, batch: int = 2, size: int = 13, dtype: str = "f32"):
    c = channels
    shapes = [(batch, 3, size, size), (c, 3, 3, 3), (1, c, 1, 1), (c, c, 3, 3), (c, 1, 3, 3)]
    return graph_of([(s, getattr(dtypes, dtype)) for s in shapes], chain)


def fused(g):
    return run(g, cpu(Machine(32)), STAGES[: [s.name for s in STAGES].index("layouts") + 1])


def test_what_lies_between_convolutions_has_its_channels_last() -> None:
    f = fused(graph(16))
    between = [v for v in f.in_memory if v.type.rank == 4 and v not in f.graph.inputs and v not in f.graph.outputs and v.type.shape[2] > 1]
    assert len(between) >= 3 and all(f.orders[v] == LAST for v in between)
    assert not f.orders.keys() & {*f.graph.inputs, *f.graph.outputs}


@pytest.mark.parametrize("channels, dtype", [(5, "f32"), (16, "f32"), (40, "f32"), (16, "bf16"), (8, "f64"), (16, "i32")])
def test_a_chain_computes_the_same(channels: int, dtype: str) -> None:
    g = graph(channels, dtype=dtype)
    check(g, arrays_for(g))


@pytest.mark.parametrize("level", HOST_LEVELS, ids=lambda level: level.name)
def test_a_chain_of_any_batch(level) -> None:
    g = parse(str(graph(24, 7, 9)).replace("[7,", "[B,").replace("[7, ", "[B, "))
    run_it = load(CPU.lower(g, level), level)
    for b in (0, 1, 3, 8):
        rng = np.random.default_rng(b)
        arrays = [rng.standard_normal([b if not isinstance(d, int) else d for d in t.shape]).astype(np.float32) for t in g.in_types]
        check_at(g, run_it, arrays, {"B": b})


def test_rows_of_a_tile_go_on_in_the_next_line() -> None:
    """7 x 7 pixels are 10 tiles of 5, one after the other, where lines of 7 would be 14 tiles of 4."""
    g = graph(16, 2, 13)
    s = run(g, cpu(Machine(32)), STAGES[: [s.name for s in STAGES].index("schedule") + 1])
    tiles = [c for g, c in zip(s.fused.groups, s.schedules) if g.kind == "tiles"]
    assert [(t.flat, t.tile) for t in tiles] == [(True, (5,))] * 2
    check(g, arrays_for(g))


def test_gradients_through_a_chain() -> None:
    def grads(x, w, v, g):
        y = OPS["conv"](x, w, stride=(1, 1), **SAME)
        h = OPS["conv_input_grad"](g, v, input_shape=y.shape, stride=(2, 2), **SAME)
        h = h * y
        return (
            OPS["conv_weight_grad"](y, g, weight_shape=v.shape, stride=(2, 2), **SAME),
            OPS["conv_weight_grad"](x, h, weight_shape=w.shape, stride=(1, 1), **SAME),
            OPS["conv_input_grad"](h, w, input_shape=x.shape, stride=(1, 1), **SAME),
        )

    g = graph_of([(3, 4, 9, 9), (24, 4, 3, 3), (32, 24, 3, 3), (3, 32, 5, 5)], grads)
    check(g, arrays_for(g))


@pytest.mark.parametrize("groups, stride", [(1, 1), (2, 1), (1, 2)])
def test_a_weights_gradient_over_many_pixels(groups: int, stride: int) -> None:
    """Its long sum is cut into parts that stay in the caches: as exact as one in float64 to its last digits."""
    n = 16 * stride**2

    def grad(x, g):
        shape = (16, 8 // groups, 3, 3)
        return OPS["conv_weight_grad"](x, g, weight_shape=shape, stride=(stride, stride), **{**SAME, "groups": groups})

    shapes = [(n, 8, 32, 32), (n, 16, 32 // stride, 32 // stride)]
    g, wide = graph_of(shapes, grad), graph_of([(s, dtypes.f64) for s in shapes], grad)
    arrays = arrays_for(g)
    (want,) = interpret.run(wide, [a.astype(np.float64) for a in arrays])
    (got,) = run_compiled(g, arrays)
    assert np.abs(got - want).max() <= 2e-6 * np.abs(want).max()
