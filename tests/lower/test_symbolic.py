"""Symbolic graphs, compiled once: every remainder of a tile, sums of any length, tables and loops of nothing, and where blocks lie."""

from functools import partial

import numpy as np
import pytest

from ingot.ir.loop.interpret import run_program
from ingot.ir.lower import lower
from ingot.ir.lower.arena import Arena, aligned
from ingot.ir.parse import parse
from ingot.ir.size import evaluate, symbol
from tests.support.calling import CPU, WIDE, load
from tests.support.symbolic import check_at

LEVEL = CPU.host_level()


def compiled(text):
    graph = parse(text)
    return graph, load(lower(graph, CPU.target(LEVEL)), LEVEL)


def arrays_for(graph, sizes, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(t.dtype.numpy, tuple(evaluate(d, sizes) for d in t.shape)) for t in graph.in_types]
    return [rng.standard_normal(s).astype(d) if d.kind == "f" else np.zeros(s, d) for d, s in shapes]


def test_products_of_any_extents():
    """Rows in whole tiles and short ones, a contracted dim of nothing, columns that end within a vector."""
    graph, run = compiled(
        "func @f(%a: f32[B,K], %b: f32[K,N]) -> f32[B,N] {\n"
        "  %0 = dot %a, %b {batch=[[], []], contract=[[1], [0]]} : f32[B,N]\n  %1 = neg %0 : f32[B,N]\n  return %1\n}\n"
    )
    for b in range(30):
        for k, n in ((0, 3), (1, 17), (5, 33), (700, 1), (9, 0)):
            sizes = {"B": b, "K": k, "N": n}
            check_at(graph, run, arrays_for(graph, sizes), sizes)


def test_rows_in_two_dims_and_short_ones():
    graph, run = compiled(
        "func @f(%a: f32[B,T,8], %b: f32[8,24]) -> f32[B,T,24] {\n"
        "  %0 = dot %a, %b {batch=[[], []], contract=[[2], [0]]} : f32[B,T,24]\n  return %0\n}\n"
    )
    for b, t in ((0, 5), (5, 0), (1, 1), (2, 3), (3, 13), (13, 29), (4, 12)):
        check_at(graph, run, arrays_for(graph, {"B": b, "T": t}), {"B": b, "T": t})


def test_gradients_of_weights_over_any_batch():
    graph, run = compiled(
        "func @f(%x: f32[B,2,9], %g: f32[B,4,9], %y: f32[B,40]) -> (f32[4,2,3], f32[40,40], f32[1,40]) {\n"
        "  %0 = conv_weight_grad %x, %g {weight_shape=[4, 2, 3], stride=[1], padding=[[1, 1]], dilation=[1], groups=1} : f32[4,2,3]\n"
        "  %1 = dot %y, %y {batch=[[], []], contract=[[0], [0]]} : f32[40,40]\n"
        "  %2 = reduce_sum %y {axes=[0]} : f32[1,40]\n  return %0, %1, %2\n}\n"
    )
    for b in (0, 1, 2, 15, 16, 17, 33, 700):
        check_at(graph, run, arrays_for(graph, {"B": b}), {"B": b})


@pytest.mark.parametrize("shape, axes", [("[T]", "0"), ("[T,3]", "0"), ("[3,T]", "1")])
def test_long_sums_are_exact_to_a_few_places(shape, axes):
    out = shape.replace("T", "1")
    graph, run = compiled(f"func @f(%x: f32{shape}) -> f32{out} {{\n  %0 = reduce_sum %x {{axes=[{axes}]}} : f32{out}\n  return %0\n}}\n")
    for t in (0, 1, 95, 97, 2050, 100_000, 3_000_001):
        (x,) = [np.full(tuple(evaluate(d, {"T": t}) for d in graph.in_types[0].shape), 0.1, np.float32)]
        y = np.ones(tuple(evaluate(d, {"T": t}) for d in graph.out_types[0].shape), np.float32)
        assert run([x, y, np.int64(t)]) == 0
        np.testing.assert_allclose(y, np.float64(np.float32(0.1)) * t, rtol=2e-6)


def test_lines_of_any_length_are_sorted():
    graph, run = compiled(
        "func @f(%x: f32[B,T]) -> (f32[B,T], i64[B,T]) {\n"
        "  %0, %1 = sort %x {axis=1, descending=true} : f32[B,T], i64[B,T]\n  return %0, %1\n}\n"
    )
    for t in (0, 1, 2, 3, 4, 5, 31, 32, 33, 1000):
        check_at(graph, run, [np.round(a, 1) for a in arrays_for(graph, {"B": 3, "T": t})], {"B": 3, "T": t})


ROWS = """func @f(%x: f32[V,C], %i: i64[N]) -> f32[N,C] {
  %0 = index_get %x, %i {axes=[0]} : f32[N,C]
  return %0
}
"""


@pytest.mark.parametrize("make", [lambda g: partial(run_program, lower(g, WIDE)), lambda g: load(lower(g, CPU.target(LEVEL)), LEVEL)])
def test_a_place_in_an_empty_table_fails_and_reads_nothing(make):
    graph = parse(ROWS)
    run = make(graph)

    def code(v, c, n):
        return run([np.ones((v, c), np.float32), np.zeros(n, np.int64), np.ones((n, c), np.float32), *map(np.int64, (c, n, v))])

    assert code(0, 3, 2) == 1 and code(0, 3, 0) == 0 and code(4, 3, 2) == 0
    assert code(0, 0, 2) == 0  # nothing is read, so nothing fails


def test_a_loop_of_no_steps_does_nothing():
    graph, run = compiled(
        "func @f(%w: f32[4,4], %h: f32[B,4], %x: f32[T,B,4]) -> (f32[B,4], f32[T,B,4]) {\n"
        "  %0, %1 = scan %w, %h, %x {body=@cell, n_const=1, n_carry=1, length=T, reverse=true} : f32[B,4], f32[T,B,4]\n"
        "  return %0, %1\n}\n"
        "func @cell(%w: f32[4,4], %h: f32[B,4], %x: f32[B,4]) -> (f32[B,4], f32[B,4]) {\n"
        "  %0 = dot %h, %w {batch=[[], []], contract=[[1], [0]]} : f32[B,4]\n  %1 = add %0, %x : f32[B,4]\n"
        "  %2 = tanh %1 : f32[B,4]\n  return %2, %2\n}\n"
    )
    for b, t in ((0, 3), (2, 0), (1, 1), (7, 5)):
        check_at(graph, run, arrays_for(graph, {"B": b, "T": t}), {"B": b, "T": t})


# -- where blocks lie ------------------------------------------------------------------------------------------------


def placed(*blocks):
    """The offsets of (first, last, bytes), and the arena."""
    plan = Arena()
    for b in blocks:
        plan.place(*b)
    arena = Arena(plan)
    return [arena.place(*b) for b in blocks], arena


def test_blocks_of_unknown_size_lie_behind_the_others():
    b = symbol("B")
    offsets, arena = placed((0, 1, 100), (0, 1, 64 * b), (1, 2, 10))
    assert offsets == [0, 192, 128] and arena.nbytes == 64 * b + 192


def test_a_free_place_is_taken_by_what_surely_fits():
    b, t = symbol("B"), symbol("T")
    offsets, arena = placed((0, 0, 128 * b), (0, 0, 64 * b), (1, 1, 64 * b), (1, 1, 64 * t), (2, 2, 128 * b))
    assert offsets == [0, 128 * b, 128 * b, 192 * b, 0] and arena.nbytes == 192 * b + 64 * t


def test_a_free_place_grows():
    b = symbol("B")
    offsets, arena = placed((0, 0, 64 * b), (1, 1, 64 * b + 1))
    assert offsets == [0, 0] and arena.nbytes == aligned(64 * b + 1) == 64 * b + 64


@pytest.mark.parametrize("text, bound", [
    ("func @f(%a: f32[5]) -> f32[-s+5] where s <= 5 {\n"
     "  %0 = slice %a {starts=[s], stops=[5], steps=[1]} : f32[-s+5]\n  return %0\n}\n", 5),
    ("func @f(%a: f32[40,3]) -> f32[40,-s+3] where s <= 3 {\n"
     "  %0 = slice %a {starts=[0,s], stops=[40,3], steps=[1,1]} : f32[40,-s+3]\n  return %0\n}\n", 3),
    ("func @f(%a: f32[40,30]) -> f32[40,1] where s <= 30 {\n"
     "  %0 = slice %a {starts=[0,s], stops=[40,30], steps=[1,1]} : f32[40,-s+30]\n"
     "  %1 = reduce_sum %0 {axes=[1]} : f32[40,1]\n  return %1\n}\n", 30),
])  # fmt: skip
def test_extents_that_shrink_as_a_symbol_grows(text, bound):
    graph, run = compiled(text)
    for s in range(bound + 1):
        check_at(graph, run, arrays_for(graph, {"s": s}), {"s": s})


def test_symbols_that_no_pass_leaves_are_slots_all_the_same():
    graph, run = compiled(
        "func @f(%a: f32[2]) -> f32[2] {\n"
        "  %0 = iota {dtype=i64, shape=[n], axis=0} : i64[n]\n  %1 = neg %a : f32[2]\n  return %1\n}\n"
    )
    check_at(graph, run, arrays_for(graph, {"n": 3}), {"n": 3})


def test_a_scatter_into_windows_of_unknown_number():
    graph, run = compiled(
        "func @f(%g: f64[2,B-1], %at: i64[2,B-1]) -> f64[2,B] where 2 <= B {\n"
        "  %0 = window_scatter %g, %at {spatial=[B]} : f64[2,B]\n  return %0\n}\n"
    )
    for b in (2, 3, 20):
        assert check_at(graph, run, arrays_for(graph, {"B": b}), {"B": b})
