"""Products of bfloat16 where a machine has an instruction for them: two to a word, sums in float32, whatever the shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.graph import Graph
from ingot.ir.loop import index as ix
from ingot.ir.loop.interpret import run_kernel as interpret
from ingot.ir.loop.ir import Buffer, For, Kernel, Load, Store
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.text import print_kernel
from ingot.ir.loop.uses import LoopVerifyError
from ingot.ir.loop.verify import verify_kernel
from ingot.ir.lower import lower
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.schedule import parse_schedule
from ingot.ir.lower.tiles.words_schedule import Words
from ingot.ir.machine import Machine
from ingot.ir.op import OPS
from tests.support.calling import CPU, HOST_LEVELS, WIDE, compare, load, outputs, run_kernel, run_loops
from tests.support.graphs import arrays_for, graph_of

DOTS = cpu(Machine(64, dot_bytes=True, dot_halves=True))
HERE = [level for level in HOST_LEVELS if level.machine.dot_halves]
BF16 = D.bf16.numpy


def product(a, b):
    return OPS["dot"](a, b, batch=((), ()), contract=((1,), (0,)))


def words(graph: Graph, target=DOTS) -> list[Words]:
    schedules = [parse_schedule(k.schedule) for k in lower(graph, target).kernels.values()]
    return [s for s in schedules if isinstance(s, Words)]


def check(graph: Graph) -> None:
    """By the interpreter of loops, and on every level of this machine that has the instruction."""
    arrays = arrays_for(graph)
    assert words(graph)
    compare(graph, arrays, run_loops(graph, arrays, lower(graph, DOTS)))
    for level in HERE:
        outs = outputs(graph)
        assert load(lower(graph, CPU.target(level)), level)([*arrays, *outs]) == 0
        compare(graph, arrays, outs)


def of(*shapes):
    return [(s, D.bf16) for s in shapes]


@pytest.mark.parametrize("m, k, n", [(4, 32, 32), (5, 33, 70), (13, 1, 320), (30, 64, 65), (25, 430, 16)])
def test_any_shape(m: int, k: int, n: int) -> None:
    check(graph_of(of((m, k), (k, n)), product))
    check(graph_of(of((m, k), (k, n), (n,)), lambda a, b, c: OPS["tanh"](product(a, b) + c)))


@pytest.mark.parametrize("inputs, function", [
    (of((64, 30), (64, 40)), lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((0,), (0,)))),
    (of((30, 65), (40, 65)), lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((1,), (1,)))),
    (of((3, 30, 64), (3, 64, 40)), lambda a, b: OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (1,)))),
    (of((30, 6, 9), (6, 9, 40)), lambda a, b: OPS["dot"](a, b, batch=((), ()), contract=((1, 2), (0, 1)))),
    ([(30, 64), (64, 40)], lambda a, b: product(a.cast(D.bf16), b.cast(D.bf16))),
], ids=["rows across", "columns apart", "batches", "two dims", "cast"])  # fmt: skip
def test_however_factors_lie(inputs, function: Callable) -> None:
    check(graph_of(inputs, function))


def test_rows_are_read_where_they_lie() -> None:
    assert [s.copy for s in words(graph_of(of((30, 64), (64, 40)), product))] == [None, None]
    assert all(s.copy is not None for s in words(graph_of(of((30, 63), (63, 40)), product)))


def test_other_machines_and_other_dtypes_have_tiles() -> None:
    assert not words(graph_of(of((30, 64), (64, 40)), product), WIDE)
    assert not words(graph_of([((30, 64), D.f16), ((64, 40), D.f16)], product))
    assert not words(graph_of([(30, 64), (64, 40)], product))


def test_long_sums_and_what_is_no_number() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0, 1, shape).astype(BF16) for shape in ((4, 30_000), (30_000, 16)))
    a[1, 3], a[2, 5], b[6, 2] = np.inf, np.nan, -np.inf
    graph = graph_of([a, b], product)
    assert words(graph)[0].run
    with np.errstate(all="ignore"):
        want = a.astype(np.float64) @ b.astype(np.float64)
    for level in HERE:
        outs = outputs(graph)
        assert load(lower(graph, CPU.target(level)), level)([a, b, *outs]) == 0
        np.testing.assert_allclose(outs[0].astype(np.float64), want, rtol=2**-8)


# -- words in memory -------------------------------------------------------------------------------------------------


def kernel_of_words() -> Kernel:
    body = [Load("x", "a", ix.mul(ix.var("v"), 2), None, D.u32), Store("o", ix.var("v"), "x")]
    return Kernel("words", (Buffer("a", D.bf16, "r"), Buffer("o", D.u32, "w")), (), [For("v", ix.const(5), "serial", body, 1)])


def test_words_of_elements() -> None:
    k = kernel_of_words()
    verify_kernel(k)
    assert parse_kernel(print_kernel(k)) == k and "load a[2*v] as u32" in print_kernel(k)
    a = np.arange(10, dtype=np.uint16).view(BF16)
    got, want = np.zeros(5, np.uint32), np.arange(10, dtype=np.uint16).view(np.uint32)
    for run in (lambda: run_kernel(k, [a, got]), lambda: interpret(k, [a, got])):
        got[:] = 7
        assert run() == 0 and (got == want).all()
    with pytest.raises(IndexError):
        interpret(k, [a[:9], got])


def test_words_that_are_none() -> None:
    k = kernel_of_words()
    wrong = [Load("x", "a", ix.var("v"), None, D.u8), Load("x", "a", ix.var("v"), None, D.bool_)]
    for s in wrong:
        with pytest.raises(LoopVerifyError, match="a word of"):
            verify_kernel(Kernel("words", k.buffers, (), [For("v", ix.const(5), "serial", [s], 1)]))
    with pytest.raises(LoopVerifyError, match="a word of"):
        verify_kernel(Kernel("words", k.buffers, (), [For("v", ix.const(4), "vector", list(k.body[0].body), 4)]))


def test_a_row_is_cast_once() -> None:
    """A product at points reads a row for every column: what it is made of has memory, but for what is quickly made again."""

    def kernels(n: int, k: int) -> int:
        graph = graph_of([(1, k), ((n, k), D.bf16)], lambda a, b: OPS["dot"](a.cast(D.bf16), b, batch=((), ()), contract=((1,), (1,))))
        arrays = arrays_for(graph)
        compare(graph, arrays, run_loops(graph, arrays))
        return len(lower(graph, WIDE).kernels)

    assert kernels(300, 300) == 2 and kernels(30, 30) == 1
