"""Contractions of integers in tiles: exact, in pairs of 16 bits or in whole words, whatever the shapes; and what is known of values."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.schedule import parse_schedule
from ingot.ir.lower.tiles.words_schedule import Words
from ingot.ir.machine import Machine
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


DOTS = cpu(Machine(64, dot_bytes=True, dot_halves=True))  # a machine that adds up products of bytes


def many(graph, target=WIDE):
    """How many elements share a word."""
    schedules = (parse_schedule(k.schedule) for k in lower(graph, target).kernels.values())
    return next(s.many for s in schedules if isinstance(s, Words))


def check(graph, arrays):
    """Every level of this machine against the interpreter."""
    for level in HOST_LEVELS:
        outs = outputs(graph)
        assert load(lower(graph, CPU.target(level)), level)([*arrays, *outs]) == 0
        compare(graph, arrays, outs)


def product(a, b):
    return OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))


# dtypes of factors and sums, what is taken off the left factor, how many products are one instruction, also where bytes have one
CASES = {
    "bytes": (np.uint8, np.int8, D.i32, 0, 2, 4),
    "bytes, shifted": (np.uint8, np.int8, D.i32, 131, 2, 4),
    "signed bytes": (np.int8, np.int8, D.i32, 0, 2, 4),
    "signed bytes, unsigned sums": (np.int8, np.int8, D.u32, 0, 1, 1),
    "bytes without a sign": (np.uint8, np.uint8, D.i32, 131, 2, 2),
    "shorts": (np.int16, np.int8, D.i32, 0, 2, 2),
    "wide": (np.int32, np.int8, D.i32, 0, 1, 1),
    "more than shorts": (np.int16, np.int8, D.i32, 1, 1, 1),
    "long": (np.int8, np.int8, D.i64, 0, 1, 1),
    "unsigned": (np.uint8, np.uint8, D.u32, 0, 2, 2),
    "short sums": (np.int8, np.int8, D.i8, 0, 1, 1),
}


@pytest.mark.parametrize("shape", [(4, 1, 1024), (5, 7, 150), (13, 40, 33), (30, 64, 65)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_products(name: str, shape: tuple[int, int, int]) -> None:
    left, right, out, off, pairs, bytes_ = CASES[name]
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b = whole(rng, left, (m, k)), whole(rng, right, (k, n))

    def f(a, b):
        a, b = a.cast(out), b.cast(out)
        y = product(a if not off else a - off, b)
        return y * 3 + 1

    graph = graph_of([a, b], f)
    assert (many(graph), many(graph, DOTS)) == (pairs, bytes_)
    check(graph, [a, b])
    for target in (WIDE, DOTS):
        compare(graph, [a, b], run_loops(graph, [a, b], lower(graph, target)))


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
    assert (many(graph), many(graph, DOTS)) == ((2, 4) if groups == 1 else (1, 1))
    check(graph, [x, w])
    compare(graph, [x, w], run_loops(graph, [x, w], lower(graph, DOTS)))


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
    assert many(graph) == 2
    rng = np.random.default_rng(0)
    for sizes in ({"B": b, "K": k, "N": n} for b in (0, 1, 2, 11, 25) for k, n in ((0, 3), (1, 17), (6, 1), (31, 70), (9, 0))):
        a, b = (rng.integers(0, 100, tuple(evaluate(d, sizes) for d in t.shape)).astype(t.dtype.numpy) for t in graph.in_types)
        check_at(graph, run, [a, b], sizes)


@pytest.mark.parametrize("rows", [1, 3])
def test_few_rows_times_what_is_packed_once(rows: int) -> None:
    """Weights of bytes are packed as bytes, not as the words they are cast to, and a single row is a tile."""
    rng = np.random.default_rng(0)
    a, b = whole(rng, np.uint8, (rows, 70)), whole(rng, np.int8, (70, 90))
    graph = graph_of([a, b], lambda a, b: product(a.cast(D.i32), b.cast(D.i32)))
    steady = graph.replace(steady=(1,))
    assert many(steady) == 2 and [k.schedule[:5] for k in lower(steady, WIDE).kernels.values()] == ["Words", "Words"]
    for level in HOST_LEVELS:
        program, outs = lower(steady, CPU.target(level)), outputs(graph)
        run, kept = load(program, level), np.zeros(program.kept, np.uint8)
        for _ in range(2):
            assert run([a, b, *outs, kept]) == 0
            compare(graph, [a, b], outs)
    assert not any(k.schedule.startswith("Words") for k in lower(graph, WIDE).kernels.values())
