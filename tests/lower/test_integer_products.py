"""Contractions of integers in tiles: exact, in pairs of 16 bits or in whole words, whatever the shapes; and what is known of values."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.lower import lower
from ingot.ir.op import OPS
from ingot.ir.parse import parse
from ingot.ir.size import evaluate
from tests.support.calling import CPU, HOST_LEVELS, WIDE, compare, load, outputs, run_loops
from tests.support.graphs import graph_of
from tests.support.symbolic import check_at


def whole(rng, dtype, shape):
    """Integers over all of a dtype's range, its ends among them."""
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    x.flat[:2] = info.min, info.max
    return x


def schedule_of(graph):
    return next(k.schedule for k in lower(graph, WIDE).kernels.values() if k.schedule.startswith("Integers"))


def check(graph, arrays):
    """Every level of this machine against the interpreter."""
    for level in HOST_LEVELS:
        outs = outputs(graph)
        assert load(lower(graph, CPU.target(level)), level)([*arrays, *outs]) == 0
        compare(graph, arrays, outs)


def product(a, b):
    return OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))


CASES = {  # dtypes of factors and sums, what is taken off the left factor, whether two products are one instruction
    "bytes": (np.uint8, np.int8, D.i32, 0, True),
    "bytes, shifted": (np.uint8, np.uint8, D.i32, 131, True),
    "shorts": (np.int16, np.int8, D.i32, 0, True),
    "wide": (np.int32, np.int8, D.i32, 0, False),
    "more than shorts": (np.int16, np.int8, D.i32, 1, False),
    "long": (np.int8, np.int8, D.i64, 0, False),
    "unsigned": (np.uint8, np.uint8, D.u32, 0, True),
    "short sums": (np.int8, np.int8, D.i8, 0, False),
}


@pytest.mark.parametrize("shape", [(4, 1, 1024), (5, 7, 150), (13, 40, 33), (30, 64, 65)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_products(name: str, shape: tuple[int, int, int]) -> None:
    left, right, out, off, pairs = CASES[name]
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b = whole(rng, left, (m, k)), whole(rng, right, (k, n))

    def f(a, b):
        a, b = a.cast(out), b.cast(out)
        y = product(a if not off else a - off, b)
        return y * 3 + 1

    graph = graph_of([a, b], f)
    assert ("pair=" in schedule_of(graph)) is pairs
    check(graph, [a, b])
    compare(graph, [a, b], run_loops(graph, [a, b]))


@pytest.mark.parametrize("channels, groups, stride", [(5, 1, 1), (8, 1, 2), (8, 2, 1)])
def test_convolutions(channels: int, groups: int, stride: int) -> None:
    """Channels in pairs, an odd one alone; those of groups lie apart and are whole words."""
    rng = np.random.default_rng(channels)
    x, w = whole(rng, np.uint8, (2, channels, 9, 11)), whole(rng, np.int8, (8, channels // groups, 3, 3))

    def f(x, w):
        return OPS["conv"](
            x.cast(D.i32) - 3, w.cast(D.i32), stride=(stride, stride), padding=((1, 1), (1, 0)), dilation=(1, 1), groups=groups
        )

    graph = graph_of([x, w], f)
    assert ("pair=" in schedule_of(graph)) is (groups == 1)
    check(graph, [x, w])


def test_batches_and_sums_that_wrap() -> None:
    rng = np.random.default_rng(0)
    a, b = whole(rng, np.int32, (3, 9, 30)), whole(rng, np.int32, (3, 30, 17))
    graph = graph_of([a, b], lambda a, b: OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (1,))))
    compare(graph, [a, b], run_loops(graph, [a, b]))


def test_any_extents() -> None:
    graph = parse(
        "func @f(%a: u8[B,K], %b: i8[K,N]) -> i32[B,N] {\n  %0 = cast %a {dtype=i32} : i32[B,K]\n  %1 = cast %b {dtype=i32} : i32[K,N]\n"
        "  %2 = dot %0, %1 {batch=[[], []], contract=[[1], [0]]} : i32[B,N]\n  return %2\n}\n"
    )
    level = CPU.host_level()
    run = load(lower(graph, CPU.target(level)), level)
    assert "pair=" in schedule_of(graph)
    rng = np.random.default_rng(0)
    for sizes in ({"B": b, "K": k, "N": n} for b in (0, 1, 2, 11, 25) for k, n in ((0, 3), (1, 17), (6, 1), (31, 70), (9, 0))):
        a, b = (rng.integers(0, 100, tuple(evaluate(d, sizes) for d in t.shape)).astype(t.dtype.numpy) for t in graph.in_types)
        check_at(graph, run, [a, b], sizes)
