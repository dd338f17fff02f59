"""Sizes: calculated with symbols they are what they are calculated with numbers, and what is decided about them holds."""

from __future__ import annotations

import os
import random
from itertools import product
from math import inf

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir.builder import Builder
from ingot.ir.dtypes import f32
from ingot.ir.interpret import run
from ingot.ir.op import OPS
from ingot.ir.parse import ParseError, parse
from ingot.ir.size import ShapeError, at_most, bounds, equal, evaluate, larger, replaced, smaller, symbol, symbols
from ingot.ir.types import tensor_type

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "400"))
BOUNDS = {"A": (0, inf), "B": (1, 6), "C": (2, inf), "D": (0, 9)}
A, B, C, D = (symbol(n, *b) for n, b in BOUNDS.items())
T = symbol("T", 1, 512)


def calculated(rng, depth, values):
    """A random expression, as a size and as the number that it is for `values`."""
    if depth == 0 or rng.random() < 0.2:
        name = rng.choice([*BOUNDS, ""])
        if name:
            return symbol(name, *BOUNDS[name]), values[name]
        n = rng.randrange(-4, 9)
        return n, n
    (x, m), (y, n) = calculated(rng, depth - 1, values), calculated(rng, depth - 1, values)
    what = rng.choice("++--**/%<>")
    if what in "/%" and at_most(1, y) is not True:
        y = n = rng.randrange(1, 9)
    return {
        "+": lambda: (x + y, m + n), "-": lambda: (x - y, m - n), "*": lambda: (x * y, m * n), "/": lambda: (x // y, m // n),
        "%": lambda: (x % y, m % n), "<": lambda: (smaller(x, y), min(m, n)), ">": lambda: (larger(x, y), max(m, n)),
    }[what]()  # fmt: skip


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_calculating(seed):
    sizes = set()
    for draw in range(6):
        rng = random.Random(seed * 6 + draw)
        values = {n: rng.randrange(low, int(min(high, low + 30)) + 1) for n, (low, high) in BOUNDS.items()}
        rng = random.Random(seed)
        x, want = calculated(rng, rng.randrange(1, 5), values)
        sizes.add(x)
        assert evaluate(x, values) == want, (x, values)
        low, high = bounds(x)
        assert low <= want <= high, (x, values)
        if at_most(0, x):
            text = f"func @main(%x: f32[{x}]) -> f32[{x}] where B <= 6, 1 <= B <= 6, 2 <= C, D <= 9 {{\n  return %x\n}}\n"
            assert parse(text).inputs[0].type.shape == (x,)
    assert len(sizes) == 1


@pytest.mark.parametrize(
    "x, text",
    [
        ((2 * B * T + T) // T, "2*B+1"), (B - B, "0"), (8 * (B // 8) + B % 8, "B"), ((A // 4) // 2, "A/8"), ((4 * T + 6) // 2, "2*T+3"),
        ((B * 12) // 8, "B+B/2"), (((A + 1) * (T + 1)) // (T + 1), "A+1"), (smaller(A, A + 1), "A"), (larger(T, 1), "T"), (T // 600, "0"),
        ((T + 7) // 8, "(T+7)/8"), (2 * ((T + 7) // 8), "2*((T+7)/8)"), (smaller(A, C), "min(A,C)"), (-A + 1, "-A+1"), (A * T * A, "A*A*T"),
    ],
)  # fmt: skip
def test_normal_form(x, text):
    assert str(x) == text


def test_decisions():
    assert at_most(T, 4 * T) and at_most(A % 8, 7) and at_most(T, A * T + 512) and at_most(A * T - A, A * T) and at_most(0, A * T - A)
    assert at_most(A, T) is None and at_most(T, 0) is False and equal(T, 0) is False and equal(A, T) is None and equal(A + T, T + A)
    assert bounds((T + 7) // 8 * 8 - T) == (0, 7) and bounds(A - 1) == (-1, inf) and 1 <= T < 513 and bool(T)
    with pytest.raises(ShapeError, match="whether A <= 5 is known only at run time"):
        assert A <= 5
    with pytest.raises(ShapeError, match="whether A is 0 is known only at run time"):
        bool(A)
    with pytest.raises(ShapeError, match="the extent A is known only at run time"):
        range(A)
    with pytest.raises(ShapeError, match="T cannot be divided by A, which may be less than 1"):
        T // A
    with pytest.raises(ShapeError, match="the extent A[+]T needs T, which nothing defines"):
        evaluate(A + T, {"A": 1})
    with pytest.raises(ValueError, match="the symbol S has no extent that is at least 3 and at most 2"):
        symbol("S", 3, 2)
    assert symbol("S", 3, 3) == 3 and replaced((T + 3) // 4, {"T": 9}) == 3 and [s.name for s in symbols(A * T + C // 3)] == ["A", "C", "T"]


@pytest.mark.parametrize(
    "name, shapes, attrs, result",
    [
        ("reshape", [(A, T, 4)], {"shape": (A * T, 4)}, (A * T, 4)),
        ("reshape", [(A * T, 8)], {"shape": (A, 2 * T, 4)}, (A, 2 * T, 4)),
        ("concatenate", [(A, T, 4), (A, 1, 4)], {"axis": 1}, (A, T + 1, 4)),
        ("slice", [(A, T)], dict(starts=(0, 1), stops=(A, T), steps=(1, 1)), (A, T - 1)),
        ("slice", [(T,)], dict(starts=(0,), stops=(T,), steps=(2,)), ((T + 1) // 2,)),
        ("pad", [(T, 3), ()], dict(low=(1, 0), high=(T, 0), interior=(0, 0)), (2 * T + 1, 3)),
        ("pad", [(T,), ()], dict(low=(0,), high=(0,), interior=(1,)), (2 * T - 1,)),
        ("conv", [(A, 3, T), (4, 3, 3)], dict(stride=(2,), padding=((1, 1),), dilation=(1,), groups=1), (A, 4, (T - 1) // 2 + 1)),
        ("window_sum", [(A, T)], dict(window=(2,), stride=(2,), padding=((1, 0),), dilation=(1,)), (A, (T - 1) // 2 + 1)),
        ("iota", [], dict(shape=(T, 2), axis=0, dtype=f32), (T, 2)),
        ("broadcast", [(1, T)], {"shape": (A, T)}, (A, T)),
    ],
)
def test_type_rules_calculate(name, shapes, attrs, result):
    op = OPS[name]
    if not set(attrs) <= set(op.attr_names):
        attrs = {k: v for k, v in attrs.items() if k in op.attr_names}
    assert op.infer(tuple(tensor_type(f32, s) for s in shapes), *op.attr_tuple(attrs))[0].shape == result


def test_graphs_with_sizes_are_printed_read_and_run():
    b = Builder("f")
    x, y = b.expr(b.input(tensor_type(f32, (A, T)), "x")), b.expr(b.input(tensor_type(f32, (A, 2 * T)), "y"))
    both = OPS["concatenate"](x, y, axis=1)
    half = OPS["slice"](both.reshape((3 * A * T,)), starts=(0,), stops=(3 * A * T,), steps=(2,))
    graph = b.freeze((half.value,))
    assert str(graph).splitlines()[0] == "func @f(%x: f32[A,T], %y: f32[A,2*T]) -> f32[A*T+(A*T+1)/2] where 1 <= T <= 512 {"
    again = parse(graph.text)
    assert again.text == graph.text and again.out_types == graph.out_types
    for a, t in ((2, 3), (0, 1), (1, 1), (7, 5)):
        p, q = np.random.default_rng(0).random((a, t), np.float32), np.ones((a, 2 * t), np.float32)
        (got,) = run(again, [p, q])
        np.testing.assert_array_equal(got, np.concatenate([p, q], 1).reshape(-1)[::2])
    with pytest.raises(ShapeError, match=r"@main: input a0 is f32\[A,T\] with 1 <= T <= 512, got an array of shape \[2, 0\]"):
        run(again, [np.ones((2, 0), np.float32), np.ones((2, 0), np.float32)])
    with pytest.raises(ShapeError, match=r"@main: input a1 is f32\[A,2\*T\], got an array of shape \[2, 5\]"):
        run(again, [np.ones((2, 3), np.float32), np.ones((2, 5), np.float32)])


@pytest.mark.parametrize(
    "dims, message",
    [
        ("A-1", "a dim is at least 0, A-1 may be less"), ("T/A", "T cannot be divided by A, which may be less than 1"),
        ("(A", r"expected '\)', found '\]'"), ("A+", r"expected a word, found '\]'"), ("min(A)", r"expected ',', found '\)'"),
        ("(" * 60 + "A" + ")" * 60, "nested too deep"), ("-" * 999 + "A", "nested too deep"),
    ],
)  # fmt: skip
def test_bad_sizes_in_texts(dims, message):
    with pytest.raises(ParseError, match=message):
        parse(f"func @main(%x: f32[{dims}]) -> f32[{dims}] where T <= 5 {{\n  return %x\n}}\n")


def test_bad_bounds_in_texts():
    with pytest.raises(ParseError, match="no extent is at least 7 and at most 5"):
        parse("func @main(%x: f32[T]) -> f32[T] where 7 <= T <= 5 {\n  return %x\n}\n")


def test_what_min_and_max_choose_is_gone_through():
    """A gradient's size: bounds alone leave it open, and it is 0 whatever B is."""
    B, T = symbol("B"), symbol("T")
    assert at_most(0, 2 * B + larger(0, 2 * B - 1) - larger(0, 4 * B - 1)) is True
    assert at_most(larger(B, T), B + T) is True and at_most(smaller(B, T) + larger(B, T), B + T) is True
    assert at_most(B + T, smaller(B, T) + larger(B, T)) is True and at_most(B + T + 1, smaller(B, T) + larger(B, T)) is False
    assert at_most(0, larger(0, B - 3) - 1) is None  # it depends


@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_by_cases_holds_for_all_values(seed):
    r = random.Random(seed)
    leaves = [symbol("B"), symbol("T"), symbol("C", 1, 9)]

    def size(depth):
        if not depth or r.random() < 0.25:
            return r.choice([*leaves, 2 * leaves[0], r.randint(-3, 5)])
        a, b = size(depth - 1), size(depth - 1)
        return r.choice([larger, larger, smaller, lambda a, b: a - b, lambda a, b: a + r.randint(-2, 3) * b])(a, b)

    for _ in range(150):
        x = size(3)
        found = at_most(0, x)
        if found is not None:
            for b, t, c in product((0, 1, 2, 3, 7, 20), (0, 1, 5, 19), (1, 2, 9)):
                assert (evaluate(x, {"B": b, "T": t, "C": c}) >= 0) is found, (x, b, t, c)
