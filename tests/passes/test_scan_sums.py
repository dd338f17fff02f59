"""Sums of products that a scan carries, made behind it: what they are, where that does not pay, and where somebody else reads them."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.dtypes import DType, f16, f32, f64
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.ir.passes.loops import merge_scans, sum_behind
from ingot.ir.types import tensor_type
from ingot.ir.verify import verify

LENGTH = 5


def body(kind: str, dtype: DType) -> Graph:
    """Carries h and s, of a const w and slices x: h' = h * x, s' = s + dot(h, x) of batches of rows, and what makes an exception of it."""
    b = Builder("step")
    rows = 9 if kind == "long factors" else 2
    w, h = (b.expr(b.input(tensor_type(dtype, (3, rows, 4)), name)) for name in "wh")
    s, x = b.expr(b.input(tensor_type(dtype, (3, 4, 4)), "s")), b.expr(b.input(tensor_type(dtype, (3, rows, 4)), "x"))
    factor = w if kind == "a const" else h
    product = OPS["dot"](factor, x, batch=((0,), (0,)), contract=((1,), (1,)))
    total = product + s if kind == "the other way round" else s + product
    after = h * x
    ys = [after, *([product] if kind == "a product that is given" else []), *([total] if kind == "a sum that is given" else [])]
    return b.freeze(tuple(v.value for v in (after, total, *ys)))


def graph(kind: str, dtype: DType, length: int, reverse: bool) -> Graph:
    step = body(kind, dtype)
    b = Builder("main")
    slices = step.in_types[3]
    given = [b.expr(b.input(t)) for t in (*step.in_types[:3], slices.with_shape((length, *slices.shape)))]
    outs = OPS["scan"](*given, body=step, n_const=1, n_carry=2, length=length, reverse=reverse)
    return b.freeze(tuple(o.value for o in outs))


def arrays(g: Graph) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=t.shape).astype(t.dtype.numpy) for t in g.in_types]


def carries(g: Graph) -> int:
    return next(n for n in g.nodes if n.op.name == "scan").attr("n_carry")


@pytest.mark.parametrize("kind", ["plain", "the other way round"])
@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("length, reverse", [(LENGTH, False), (LENGTH, True), (1, False), (0, False)])
def test_a_sum_is_made_behind(kind: str, dtype: DType, length: int, reverse: bool) -> None:
    g = graph(kind, dtype, length, reverse)
    made = verify(sum_behind(g))
    assert carries(g) == 2 and carries(made) == 1
    for a, b in zip(interpret.run(g, arrays(g)), interpret.run(made, arrays(g))):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["long factors", "a const", "a product that is given", "a sum that is given"])
def test_others_stay(kind: str) -> None:
    g = graph(kind, f32, LENGTH, False)
    assert sum_behind(g) is g


def test_sums_of_halves_stay() -> None:
    """Each step rounds them."""
    g = graph("plain", f16, LENGTH, False)
    assert sum_behind(g) is g


def test_scans_of_other_carries_stay_two() -> None:
    one, other = graph("plain", f32, LENGTH, False), body("the other way round", f32)
    n = one.nodes[-1]
    b = Builder("main")
    given = [b.expr(b.input(t)) for t in one.in_types]
    a = OPS["scan"](*given, body=n.attr("body"), n_const=1, n_carry=2, length=LENGTH, reverse=False)
    c = OPS["scan"](*given, body=other, n_const=1, n_carry=2, length=LENGTH, reverse=True)
    g = b.freeze(tuple(v.value for v in (*a, *c)))
    assert merge_scans(g) is g
