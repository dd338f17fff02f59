"""The interpreter, and symbolic dims in type rules."""

from __future__ import annotations

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir.builder import Builder
from ingot.ir.dtypes import bool_, f32, i64
from ingot.ir.interpret import run
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError, symbol
from ingot.ir.types import tensor_type

B, N = symbol("B"), symbol("N")


def test_symbols_take_the_extents_of_the_arrays():
    b = Builder("f")
    x, y = b.expr(b.input(tensor_type(f32, (B, 3)), "x")), b.expr(b.input(tensor_type(f32, (3,)), "y"))
    out = (x + y).sum((1,)).broadcast((B, 4)).reshape((4, B)) * x.const(2.0).broadcast((4, B))
    graph = b.freeze((out.value,))
    assert graph.out_types == (tensor_type(f32, (4, B)),)
    for n in (5, 1, 0):
        x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
        (got,) = run(graph, [x, np.ones(3, np.float32)])
        np.testing.assert_array_equal(got, 2 * np.repeat(x.sum(1) + 3, 4).reshape(4, n))


def test_run_names_what_does_not_fit():
    b = Builder("f")
    b.input(tensor_type(f32, (B, B)), "x")
    graph = b.freeze((b.inputs[0],))
    with pytest.raises(TypeError, match="@f takes 1 inputs, got 0"):
        run(graph, [])
    with pytest.raises(TypeError, match=r"@f: input x is f32\[B,B\], got an array of float64"):
        run(graph, [np.zeros((2, 2))])
    with pytest.raises(ShapeError, match=r"@f: input x is f32\[B,B\], got an array of shape \[2, 3\]"):
        run(graph, [np.zeros((2, 3), np.float32)])


def test_outputs_are_fresh():
    b = Builder("same")
    x = b.input(tensor_type(f32, (2,)))
    y = (b.expr(x) + 1).value
    graph = b.freeze((x, y, y))
    given = np.zeros(2, np.float32)
    first, second, third = run(graph, [given])
    assert not np.shares_memory(first, given) and not np.shares_memory(second, third)


@pytest.mark.parametrize(
    "name, types, attrs, result",
    [
        ("add", [(B, 3), (1, 3)], {}, (B, 3)),
        ("add", [(B, 1), (N,)], {}, (B, N)),
        ("reduce_sum", [(B, 3)], {"axes": (0,)}, (1, 3)),
        ("reduce_max", [(3, B)], {"axes": (0,)}, (1, B)),
        ("transpose", [(B, 3)], {"perm": (1, 0)}, (3, B)),
        ("reshape", [(B, 2, 3)], {"shape": (6, B)}, (6, B)),
        ("slice", [(B, 5)], dict(starts=(0, 1), stops=(B, 5), steps=(1, 2)), (B, 2)),
        ("concatenate", [(B, 2), (B, 3)], {"axis": 1}, (B, 5)),
        ("dot", [(B, 4), (4, 5)], dict(batch=((), ()), contract=((1,), (0,))), (B, 5)),
        ("dot", [(B, N, 4), (B, 4, N)], dict(batch=((0,), (0,)), contract=((2,), (1,))), (B, N, N)),
        ("conv", [(B, 3, 8), (4, 3, 3)], dict(stride=(1,), padding=((0, 0),), dilation=(1,), groups=1), (B, 4, 6)),
        ("cumsum", [(B, 2)], dict(axis=0, reverse=False), (B, 2)),
        ("window_max", [(B, 4)], dict(window=(2,), stride=(2,), padding=((0, 0),), dilation=(1,)), (B, 2)),
    ],
)
def test_type_rules_take_symbols(name, types, attrs, result):
    op = OPS[name]
    assert op.infer(tuple(tensor_type(f32, s) for s in types), *op.attr_tuple(attrs))[0].shape == result


def test_different_symbols_do_not_match():
    with pytest.raises(ShapeError, match=r"add: shapes do not broadcast: \[B\] and \[N\]"):
        OPS["add"].infer((tensor_type(f32, (B,)), tensor_type(f32, (N,))))
    with pytest.raises(ShapeError, match="reshape"):
        OPS["reshape"].infer((tensor_type(f32, (B, 2)),), (N, 2))
    with pytest.raises(ShapeError, match="slice: whether 0:3 is within a dim of extent B is known only at run time"):
        OPS["slice"].infer((tensor_type(f32, (B,)),), (0,), (3,), (1,))


def test_masks_stay_bool():
    b = Builder("m")
    x = b.expr(b.input(tensor_type(i64, (3,))))
    assert (x < 2).dtype is bool_
