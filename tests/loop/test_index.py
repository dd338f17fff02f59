"""Index algebra: every simplification keeps the value."""

import random
from math import inf

import pytest

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Div, Index, Param
from ingot.ir.loop.ir import IndexValue, Kernel
from ingot.ir.loop.points import delinear, reshaped
from ingot.ir.lower.parametrise import parametrise
from ingot.ir.size import evaluate, symbol


def test_simplifications():
    i, j = ix.var("i"), ix.var("j")
    flat = ix.add(ix.mul(i, 8), j)
    assert ix.div(flat, 8, {"j": 8}) == i
    assert ix.mod(flat, 8, {"j": 8}) == j
    assert ix.div(ix.div(i, 3), 4) == ix.div(i, 12)
    assert ix.mod(i, 5, {"i": 5}) == i
    assert ix.add(ix.mul(ix.div(i, 7), 7), ix.mod(i, 7)) == i
    assert ix.sub(i, i) == ix.const(0)


def test_whole_blocks_are_divided():
    """What lies within a block says nothing of which block it is: a group's mean is the same along a channel."""
    p, v = ix.var("p"), ix.var("v")
    at = ix.add(v, ix.mul(ix.mod(p, 64), 1024))
    assert ix.div(at, 8192, {"v": 1024}) == ix.div(ix.mod(p, 64), 8)
    assert ix.mod(at, 8192, {"v": 1024}) == ix.add(v, ix.mul(ix.mod(p, 8), 1024))
    assert ix.div(at, 8192, {"v": 1025}) != ix.div(ix.mod(p, 64), 8)  # it may lie in the next


def test_linear_of_delinear_is_the_offset():
    x = ix.var("x")
    dims = (5, 3, 4)
    parts = (ix.div(x, 12), ix.mod(ix.div(x, 4), 3), ix.mod(x, 4))
    out = ix.const(0)
    for p, d in zip(parts, dims):
        out = ix.add(ix.mul(out, d), p)
    assert out == x


def test_coefficient_and_bounds():
    i = ix.var("i")
    a = ix.add(ix.mul(i, 3), ix.const(2))
    assert ix.coefficient(a, "i") == 3
    assert ix.coefficient(a, "k") == 0
    assert ix.coefficient(ix.div(a, 2), "i") is None
    assert ix.coefficient(ix.mul(i, Param("n")), "i") == Param("n")
    assert ix.bounds(a, {"i": 5}) == (2, 14)
    assert ix.bounds(a) == (2, inf)
    with pytest.raises(TypeError):
        ix.mul(ix.mul(i, Param("n")), 2)


def test_random_expressions_keep_their_value():
    rng = random.Random(0)
    names = ["a", "b", "c"]
    for _ in range(2000):
        ranges = {n: rng.choice([1, 2, 3, 4, 8, 12]) for n in names}
        values = {n: rng.randrange(ranges[n]) for n in names}
        known = {n: r for n, r in ranges.items() if rng.random() < 0.7}
        expr, want = ix.const(0), 0
        for _ in range(rng.randrange(1, 7)):
            how = rng.choice(["var", "mul", "div", "mod", "const", "sub"])
            k = rng.choice([1, 2, 3, 4, 6, 8, 12])
            if how == "var":
                n = rng.choice(names)
                expr, want = ix.add(expr, ix.mul(ix.var(n), k)), want + values[n] * k
            elif how == "mul":
                expr, want = ix.mul(expr, k), want * k
            elif how == "div":
                expr, want = ix.div(expr, k, known), want // k
            elif how == "mod":
                expr, want = ix.mod(expr, k, known), want % k
            elif how == "const":
                expr, want = ix.add(expr, ix.const(k)), want + k
            else:  # stays >= 0 for every value of the variable
                n = rng.choice(names)
                expr = ix.add(expr, ix.sub(ix.const(ranges[n] - 1), ix.var(n)))
                want += ranges[n] - 1 - values[n]
            assert ix.evaluate(expr, values) == want
        lo, hi = ix.bounds(expr, ranges)
        assert lo <= want <= hi


@pytest.mark.parametrize("seed", range(200))
def test_random_expressions_of_sizes_keep_their_value(seed):
    rng = random.Random(seed)
    symbols = {"A": (0, 9), "B": (1, 6), "T": (0, inf)}
    sizes = {n: symbol(n, *b) for n, b in symbols.items()}
    extents = {"i": sizes["A"], "j": 3 * sizes["B"], "k": 5, "l": sizes["T"], "m": sizes["A"] * sizes["B"]}
    built = []
    for trial in range(4):
        given = {n: random.Random(f"{seed}{trial}{n}").randrange(1, 7) for n in symbols}
        rng = random.Random(seed)
        expr, want = ix.const(0), 0
        known = {n: d for n, d in extents.items() if rng.random() < 0.8}
        at = {n: random.Random(f"{seed}{trial}{n}").randrange(evaluate(d, given)) for n, d in extents.items()}
        for _ in range(rng.randrange(2, 9)):
            how = rng.choice(["var", "var", "mul", "div", "mod", "const", "back"])
            k = rng.choice([2, 3, 8, sizes["A"], sizes["T"], sizes["B"], 4 * sizes["T"], sizes["A"] * sizes["B"], sizes["B"] + 1])
            number = evaluate(k, given)
            if how == "var":
                n = rng.choice(list(extents))
                expr, want = ix.add(expr, ix.mul(ix.var(n), k)), want + at[n] * number
            elif how == "mul":
                expr, want = ix.mul(expr, k), want * number
            elif how == "div":
                expr, want = ix.div(expr, k, known), want // number
            elif how == "mod":
                expr, want = ix.mod(expr, k, known), want % number
            elif how == "const":
                expr, want = ix.add(expr, ix.const(k)), want + number
            else:
                n = rng.choice(list(extents))
                expr = ix.add(expr, ix.sub(ix.const(extents[n] - 1), ix.var(n)))
                want += evaluate(extents[n], given) - 1 - at[n]
        built.append(expr)
        kernel = Kernel("k", (), (), [IndexValue("%1", expr)])
        kernel, params = parametrise(kernel)
        values = at | {p: evaluate(d, given) for p, d in zip(kernel.params, params)}
        assert ix.evaluate(kernel.body[0].index, values) == want, (expr, given, at)
        lo, hi = ix.bounds(expr, known)
        assert (evaluate(lo, given) if lo != -inf else lo) <= want <= (evaluate(hi, given) if hi != inf else hi)
    assert len(set(built)) == 1


def test_sizes_split_and_merge():
    t, b = symbol("T"), symbol("B", 1)
    ranges = {"i": b, "j": t, "k": 8}
    flat = ix.add(ix.mul(ix.add(ix.mul(ix.var("i"), t), ix.var("j")), 8), ix.var("k"))
    assert delinear(flat, (b, t, 8), ranges) == (ix.var("i"), ix.var("j"), ix.var("k"))
    assert delinear(flat, (b, 8 * t), ranges) == (ix.var("i"), ix.add(ix.mul(ix.var("j"), 8), ix.var("k")))
    assert reshaped((ix.var("i"), ix.var("j")), (b, t), (b, t), ranges) == (ix.var("i"), ix.var("j"))
    assert reshaped((ix.var("j"), ix.var("k")), (8 * t,), (t, 8), ranges) == (ix.add(ix.mul(ix.var("j"), 8), ix.var("k")),)


def test_a_reversed_index_of_a_size_is_divided_by_what_is_positive():
    b = symbol("B", 2)
    back = ix.sub(ix.const(b - 1), ix.var("j"))
    assert ix.mod(ix.add(ix.mul(ix.var("i"), b), back), b, {"i": b, "j": b}) == back


def test_a_quotient_of_a_parameter_is_divided_again():
    inner = Index(0, ((Div(ix.var("i"), Param("n")), 1),))
    twice = ix.div(inner, 4, {})
    assert ix.evaluate(twice, {"i": 100, "n": 7}) == 100 // 7 // 4
