"""VJPs and JVPs against finite differences in float64, and what ir/transforms/vjp.py promises about backward graphs."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.builder import Builder, op_graph
from ingot.ir.dtypes import f32, f64, i64
from ingot.ir.facts import Elementwise
from ingot.ir.graph import Graph
from ingot.ir.interpret import run
from ingot.ir.op import LATER, NO_GRAD, OPS
from ingot.ir.ops.samples import cases, grad_cases, types_of
from ingot.ir.struct import replace
from ingot.ir.transforms.jvp import jvp
from ingot.ir.transforms.vjp import Backward, op_vjp, vjp
from ingot.ir.types import tensor_type
from tests.support.finite_differences import check_derivatives, directional, draw_like, floating, inner, run_jvp, run_vjp

DIFFERENTIABLE = sorted(n for n, op in OPS.items() if callable(op.vjp))
TWICE = """
    tanh exp digamma div pow integer_pow maximum rsqrt sigmoid erf atan2 select reduce_sum reduce_prod reduce_max dot conv window_max
    mul magnitude conj window_sum gather scatter index_get index_put cumsum cumprod sort scan pad concatenate slice
""".split()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_against_finite_differences(name):
    rng = np.random.default_rng(7)
    for arrays, attrs in grad_cases(OPS[name], rng):
        check_derivatives(op_graph(OPS[name], attrs, types_of(arrays)), arrays, rng)


def backward_as_graph(graph: Graph, arrays: list[np.ndarray]) -> Graph:
    """(forward inputs, cotangents) -> gradients, as one graph."""
    wrt = floating(arrays)
    cts = tuple(t.dtype.kind in "fc" for t in graph.out_types)
    back = vjp(graph, wrt, cts)
    b = Builder(f"{graph.name}_backward")
    ins = [b.input(t) for t in graph.in_types]
    seeds = [b.input(t) for t, c in zip(graph.out_types, cts) if c]
    outs = b.call(graph, tuple(ins))
    given = [ins[i] for i in back.reads_inputs] + [outs[i] for i in back.reads_outputs] + seeds
    return b.freeze(b.call(back.graph, tuple(given)))


@pytest.mark.parametrize("name", TWICE)
def test_second_derivatives(name):
    rng = np.random.default_rng(11)
    for arrays, attrs in grad_cases(OPS[name], rng)[:6]:
        graph = op_graph(OPS[name], attrs, types_of(arrays))
        seeds = [ct for ct in draw_like(rng, run(graph, arrays)) if ct is not None]
        again = backward_as_graph(graph, arrays)
        if again.outputs:
            check_derivatives(again, [*arrays, *seeds], rng, rtol=3e-5)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_jvp_is_the_transpose_of_vjp(name):
    rng = np.random.default_rng(5)
    for arrays, attrs in grad_cases(OPS[name], rng):
        graph = op_graph(OPS[name], attrs, types_of(arrays))
        tangents, cts = draw_like(rng, arrays), draw_like(rng, run(graph, arrays))
        pushed, grads = run_jvp(graph, arrays, tangents), run_vjp(graph, arrays, cts)
        left = sum(float(inner(v, cts[i]).sum()) for i, v in pushed.items())
        right = sum(float(inner(g, tangents[i]).sum()) for i, g in grads.items())
        size = sum(float(np.abs(g * tangents[i]).sum()) for i, g in grads.items())
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-11 * (1 + size))


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if isinstance(op.lowering, Elementwise) and callable(op.vjp)))
def test_gradients_keep_dtypes_and_shapes(name):
    rng = np.random.default_rng(5)
    for arrays, attrs in cases(OPS[name], rng)[:40]:
        graph = op_graph(OPS[name], attrs, types_of(arrays))
        if graph.out_types[0].dtype.kind in "fc":
            ct = np.ones(graph.out_types[0].shape, graph.out_types[0].dtype.numpy)
            for i, g in run_vjp(graph, arrays, [ct]).items():
                assert (g.dtype, g.shape) == (arrays[i].dtype, arrays[i].shape)


# -- what a backward graph reads -------------------------------------------------------------------------------------


def back_of(name: str, *types: object, wrt: tuple[bool, ...] | None = None, **attrs: object) -> Backward:
    op = OPS[name]
    outs = op.infer(types, *op.attr_tuple(attrs))
    return op_vjp(op, op.attr_tuple(attrs), types, wrt or (True,) * len(types), (True,) * len(outs))


X = tensor_type(f32, (2, 3))


def test_only_what_is_read_is_listed():
    def reads(b: Backward) -> tuple:
        return b.reads_inputs, b.reads_outputs, b.grads

    assert reads(back_of("tanh", X)) == ((), (0,), (0,))
    assert reads(back_of("sin", X)) == ((0,), (), (0,))
    assert reads(back_of("add", X, X)) == ((), (), (0, 1))
    assert reads(back_of("mul", X, X)) == ((0, 1), (), (0, 1))
    assert reads(back_of("mul", X, X, wrt=(True, False))) == ((1,), (), (0,))
    assert reads(back_of("reshape", X, shape=(6,))) == ((), (), (0,))
    assert reads(back_of("reduce_sum", X, axes=(0,))) == ((), (), (0,))
    assert reads(back_of("gather", X, tensor_type(i64, (2, 1)), axis=1)) == ((1,), (), (0,))
    assert reads(back_of("sort", X, axis=1, descending=False)) == ((), (1,), (0,))


def test_no_gradient_through_integers_and_comparisons():
    assert back_of("lt", X, X).grads == ()
    assert back_of("cast", X, dtype=i64).grads == ()
    assert back_of("argmax", X, axis=0).grads == ()
    assert back_of("floor_divide", X, X).grads == ()
    assert back_of("floor", X).grads == (0,)  # zeros, as in torch
    assert OPS["floor_divide"].vjp is NO_GRAD


def chain() -> Graph:
    """(x, w, b, unused) -> (tanh(x w + b), sum of it)"""
    g = Builder("chain")
    x, w, b, _ = (g.expr(g.input(tensor_type(f64, s), n)) for s, n in (((4, 3), "x"), ((3, 2), "w"), ((2,), "b"), ((5,), "unused")))
    h = OPS["tanh"](OPS["dot"](x, w, batch=((), ()), contract=((1,), (0,))) + b)
    return g.freeze((h.value, h.sum((0, 1)).value))


def draw(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=t.shape).astype(t.dtype.numpy) for t in graph.in_types]


def test_graph_derivatives():
    graph = chain()
    check_derivatives(graph, draw(graph), np.random.default_rng(1))
    back = vjp(graph, (True, True, True, True), (True, False))
    assert back.grads == (0, 1, 2)  # nothing reaches `unused`
    assert back.reads_inputs == (0, 1) and back.reads_outputs == (0,)  # tanh's output is saved, so nothing is computed again
    assert vjp(graph, (True, True, True, True), (True, False)) is back
    assert not any(n.op.name == "dot" and n.inputs == back.graph.inputs[:2] for n in back.graph.nodes)


def test_intermediates_are_computed_again_from_inputs():
    b = Builder("f")
    x = b.expr(b.input(tensor_type(f64, (3,))))
    graph = b.freeze((OPS["sin"](OPS["exp"](x)).value,))
    back = vjp(graph, (True,), (True,))
    assert back.reads_inputs == (0,) and back.reads_outputs == ()
    assert [n.op.name for n in back.graph.nodes] == ["exp", "cos", "mul", "mul"]
    check_derivatives(graph, draw(graph), np.random.default_rng(2))


def test_calls_are_differentiated_through():
    inner = chain()
    b = Builder("outer")
    ins = [b.input(t) for t in inner.in_types]
    h, total = b.emit(OPS["call"], tuple(ins), (inner,))
    graph = b.freeze(((b.expr(h) * b.expr(h)).value, total))
    check_derivatives(graph, draw(graph), np.random.default_rng(3))
    arrays = draw(inner)
    direct = vjp(inner, (True,) * 4, (True, True))
    assert op_vjp(OPS["call"], (inner,), inner.in_types, (True,) * 4, (True, True)) is direct
    outs = run(inner, arrays)
    cts = draw_like(np.random.default_rng(0), outs)
    by_op = run_vjp(op_graph(OPS["call"], (inner,), inner.in_types), arrays, cts)
    for i, g in run_vjp(inner, arrays, cts).items():
        np.testing.assert_allclose(by_op[i], g, rtol=1e-13)


def test_an_input_that_is_an_output_and_an_output_listed_twice():
    b = Builder("same")
    x = b.input(tensor_type(f64, (2,)))
    y = (b.expr(x) * b.expr(x)).value
    graph = b.freeze((x, y, y))
    a = np.array([3.0, -2.0])
    ones = np.ones(2)
    grads = run_vjp(graph, [a], [ones, ones, 2 * ones])
    np.testing.assert_array_equal(grads[0], 1 + 3 * 2 * a)


def test_scan_stacks_only_what_its_body_reads():
    """A linear body needs no carries of the forward pass, so its backward runs no forward scan."""
    b = Builder("decay")
    c, x = b.expr(b.input(tensor_type(f64, (2,)))), b.expr(b.input(tensor_type(f64, (2,))))
    body = b.freeze(((c * 0.5 + x).value,))
    types = (tensor_type(f64, (2,)), tensor_type(f64, (5, 2)))
    back = op_vjp(OPS["scan"], (body, 0, 1, 5, False), types, (True, True), (True,))
    assert back.reads_inputs == () and [n.op.name for n in back.graph.nodes if n.op.name == "scan"] == ["scan"]


def test_masks_and_missing_derivatives_are_named():
    graph = chain()
    with pytest.raises(ValueError, match="4 inputs and 2 outputs, got 1 wrt and 2 cts"):
        vjp(graph, (True,), (True, True))
    with pytest.raises(ValueError, match="4 inputs, got 1 tangents"):
        jvp(graph, (True,))
    with pytest.raises(RuntimeError, match="the derivative of owed is not implemented"):
        op_vjp(replace(OPS["tanh"], name="owed", vjp=LATER), (), (X,), (True,), (True,))


# -- conventions at kinks, as in torch -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, arrays, attrs, expected",
    [
        ("abs", [[0.0, -2.0]], {}, [[0, -1]]),
        ("sign", [[0.0, -2.0]], {}, [[0, 0]]),
        ("maximum", [[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]], {}, [[0.5, 1, 0], [0.5, 0, 1]]),
        ("minimum", [[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]], {}, [[0.5, 0, 1], [0.5, 1, 0]]),
        ("reduce_max", [[3.0, 1.0, 3.0, 3.0]], {"axes": (0,)}, [[1 / 3, 0, 1 / 3, 1 / 3]]),
        ("window_max", [[2.0, 2.0, 1.0, 1.0]], dict(window=(2,), stride=(2,), padding=((0, 0),), dilation=(1,)), [[1, 0, 1, 0]]),
        ("pow", [[0.0, 0.0, 2.0], [0.0, 2.0, 0.0]], {}, [[0, 0, 0], [0, 0, np.log(2.0)]]),
        ("atan2", [[0.0], [0.0]], {}, [[0], [0]]),
        ("copysign", [[0.0, 2.0], [1.0, -1.0]], {}, [[0, -1], [0, 0]]),
        ("reduce_prod", [[2.0, 0.0, 3.0]], {"axes": (0,)}, [[0, 6, 0]]),
        ("reduce_prod", [[0.0, 0.0, 3.0]], {"axes": (0,)}, [[0, 0, 0]]),
        ("cumprod", [[2.0, 0.0, 3.0]], {"axis": 0, "reverse": False}, [[1, 2 + 6, 0]]),
        ("cummax", [[1.0, 1.0, 0.0]], {"axis": 0}, [[1, 2, 0]]),
    ],
)
def test_subgradients(name, arrays, attrs, expected):
    arrays = [np.array(a) for a in arrays]
    graph = op_graph(OPS[name], OPS[name].attr_tuple(attrs), types_of(arrays))
    cts = [np.ones(t.shape) if t.dtype.kind == "f" else None for t in graph.out_types]
    with np.errstate(all="ignore"):
        grads = run_vjp(graph, arrays, cts)
    for i, e in enumerate(expected):
        np.testing.assert_allclose(grads[i], e, err_msg=f"{name} by input {i}")


def test_every_write_to_a_place_takes_its_gradient():  # as in torch
    x, index, src = np.zeros(3), np.array([1, 1, 0]), np.array([5.0, 6.0, 7.0])
    graph = op_graph(OPS["scatter"], (0, "set"), types_of([x, index, src]))
    grads = run_vjp(graph, [x, index, src], [np.array([1.0, 2.0, 3.0])])
    np.testing.assert_array_equal(grads[0], [0, 0, 3])
    np.testing.assert_array_equal(grads[2], [2, 2, 1])


@pytest.mark.parametrize("name", ["scatter", "index_put"])
def test_the_tangent_of_a_place_is_that_of_its_last_write(name):
    """What finite differences give; the gradient is torch's, see above, and so no transpose of this."""
    x, index, src = np.zeros(3), np.array([1, 1, 0]), np.array([5.0, 6.0, 7.0])
    arrays, attrs = ([x, index, src], (0, "set")) if name == "scatter" else ([x, src, index], ((0,), "set"))
    graph = op_graph(OPS[name], attrs, types_of(arrays))
    tangents = [None if a is index else np.array([1.0, 2.0, 4.0]) * (1 if a is x else 10) for a in arrays]
    np.testing.assert_array_equal(run_jvp(graph, arrays, tangents)[0], [40, 20, 4])
    np.testing.assert_allclose(directional(graph, arrays, tangents)[0], [40, 20, 4], rtol=1e-6)
