"""Index algebra: every simplification keeps the value."""

import random
from math import inf

import pytest

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Param


def test_simplifications():
    i, j = ix.var("i"), ix.var("j")
    flat = ix.add(ix.mul(i, 8), j)
    assert ix.div(flat, 8, {"j": 8}) == i
    assert ix.mod(flat, 8, {"j": 8}) == j
    assert ix.div(ix.div(i, 3), 4) == ix.div(i, 12)
    assert ix.mod(i, 5, {"i": 5}) == i
    assert ix.add(ix.mul(ix.div(i, 7), 7), ix.mod(i, 7)) == i
    assert ix.sub(i, i) == ix.const(0)


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
