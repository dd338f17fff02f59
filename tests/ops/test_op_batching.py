"""Batching against a loop over the samples: of every op by its declaration's samples, of whole graphs, of random ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from ingot.ir.builder import Builder, Expr, op_graph
from ingot.ir.dtypes import by_numpy, f32, f64, i64
from ingot.ir.facts import Contraction, Control, Reduction
from ingot.ir.graph import Graph
from ingot.ir.interpret import run
from ingot.ir.op import OPS
from ingot.ir.ops.samples import cases, grad_cases, types_of
from ingot.ir.transforms.batch import Batched, batch
from ingot.ir.transforms.jvp import jvp
from ingot.ir.transforms.vjp import vjp
from ingot.ir.types import tensor_type
from ingot.ir.verify import verify
from tests.support.generate import generate, redrawn
from tests.support.graphs import arrays_for, graph_of
from tests.support.shrink import case_text

Arrays = list[np.ndarray]
Mask = tuple[bool, ...]
REORDERED = (Contraction, Reduction, Control)  # their sums may run in another order
TOLERANCE = {2: 2e-2, 4: 1e-5, 8: 1e-11}  # by the size of the coarsest dtype that a graph computes in


def choices(n: int) -> list[Mask]:
    """Which of n inputs are batched: every choice but none; of many, each alone, all but one, and all."""
    every = [m for m in product((True, False), repeat=n) if any(m)]
    return every if n <= 3 else [m for m in every if sum(m) in (1, n - 1, n)]


def stacked(samples: Sequence[Arrays], which: Mask, size: int) -> Arrays:
    """The inputs of the batched graph: `size` samples where `which` says so, else the first."""
    first = samples[0]
    return [
        np.stack([s[i] for s in samples[:size]]) if has and size else np.zeros((0, *x.shape), x.dtype) if has else x
        for i, (x, has) in enumerate(zip(first, which))
    ]


def check(graph: Graph, samples: Sequence[Arrays], which: Mask, size: int, exact: bool = False) -> Batched:
    """The batched graph gives what the graph gives for each sample, in turn; `exact`: the same bits, NaN payloads aside."""
    over = batch(graph, which, size)
    verify(over.graph)
    assert over.graph.in_types == tuple(t.with_shape((size, *t.shape)) if w else t for t, w in zip(graph.in_types, which))
    assert over.graph.out_types == tuple(t.with_shape((size, *t.shape)) if o else t for t, o in zip(graph.out_types, over.outputs))
    floats = [v.type.dtype.to_real().itemsize for n in graph.nodes for v in n.outputs if v.type.dtype.kind in "fc"]
    tolerance = 0.0 if exact else TOLERANCE[min(floats, default=8)]
    got = run(over.graph, stacked(samples, which, size))
    for k in range(size):
        expected = run(graph, [s if w else first for s, first, w in zip(samples[k], samples[0], which)])
        for have, has, want in zip(got, over.outputs, expected):
            same(have[k] if has else have, want, tolerance)
    return over


def same(have: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    assert have.dtype == want.dtype and have.shape == want.shape
    if by_numpy(want.dtype).kind in "fc" and tolerance:
        wide = np.complex128 if want.dtype.kind == "c" else np.float64
        np.testing.assert_allclose(have.astype(wide), want.astype(wide), rtol=tolerance, atol=tolerance)
    else:
        have, want = (np.ascontiguousarray(a).reshape(-1).view(by_numpy(a.dtype).to_real().numpy) for a in (have, want))
        bits = f"u{want.dtype.itemsize}"
        assert ((np.ascontiguousarray(have).view(bits) == want.view(bits)) | (have != have) & (want != want)).all()


# -- every op --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if callable(op.batch)))
def test_op(name):
    op = OPS[name]
    draws = [cases(op, np.random.default_rng(seed)) for seed in range(3)]
    for number, sample in enumerate(zip(*draws)):
        attrs = sample[0][1]
        graph = op_graph(op, attrs, types_of(sample[0][0]))
        for which in choices(len(graph.inputs)):
            for size in (3, 1, 0) if number % 5 == 0 else (3,):
                over = check(graph, [arrays for arrays, _ in sample], which, size, exact=not isinstance(op.lowering, REORDERED))
                assert all(over.outputs) or isinstance(op.lowering, Control)


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if callable(op.vjp)))
def test_backward_of_op(name):
    """A VJP is made of other ops, used as nobody would think of: the gradients of each sample are those of a loop."""
    draws = [grad_cases(OPS[name], np.random.default_rng(seed)) for seed in range(2)]
    for (arrays, attrs), (others, _) in list(zip(*draws))[:4]:
        graph = op_graph(OPS[name], attrs, types_of(arrays))
        cts = tuple(t.dtype.kind in "fc" for t in graph.out_types)
        back = vjp(graph, (True,) * len(arrays), cts)
        samples = []
        for given in (arrays, others):
            outs = run(graph, given)
            seeds = [np.cos(np.arange(y.size, dtype=np.float64)).reshape(y.shape).astype(y.dtype) for y, c in zip(outs, cts) if c]
            samples.append([given[i] for i in back.reads_inputs] + [outs[i] for i in back.reads_outputs] + seeds)
        n = len(back.graph.inputs)
        for which in {(True,) * n, (False,) * (n - 1) + (True,)}:
            check(back.graph, samples, which, 2)


def test_each_seed_has_its_own_stream():
    graph = op_graph(OPS["random_bits"], ((5,),), (tensor_type(i64, ()),) * 2)
    over = batch(graph, (False, True), 3)
    bits = run(over.graph, [np.int64(7), np.array([0, 2, 4])])[0]
    whole = run(op_graph(OPS["random_bits"], ((24,),), graph.in_types), [np.int64(7), np.int64(0)])[0]
    assert np.array_equal(bits, [whole[8 * k : 8 * k + 5] for k in range(3)])  # a block has 4 words, each offset skips 2 blocks


def test_writes_keep_their_order_in_every_sample():
    x, at = np.zeros(4, np.float32), np.array([1, 1, -1, 1])
    src = [np.array(s, np.float32) for s in ([1, 2, 3, 4], [4, 3, 2, 1], [0, np.nan, 5, -1])]
    for op, given in ((OPS["scatter"], lambda s: [x, at, s]), (OPS["index_put"], lambda s: [x, s, at])):
        attrs = (0, "set") if op.name == "scatter" else ((0,), "set")
        graph = op_graph(op, attrs, types_of(given(src[0])))
        over = batch(graph, tuple(a is src[0] for a in given(src[0])), 3)
        got = run(over.graph, given(np.stack(src)))[0]
        assert got.tolist() == [[0, 4, 0, 3], [0, 1, 0, 2], [0, -1, 0, 5]]


@pytest.mark.parametrize("name", ["gather", "scatter", "index_get", "index_put", "window_scatter"])
def test_an_index_out_of_range_fails_whichever_sample_has_it(name):
    x, at = np.zeros((4,), np.float32), np.array([0, 3])
    src = np.ones(2, np.float32)
    attrs, arrays = {
        "gather": ((0,), [x, at]), "scatter": ((0, "add"), [x, at, src]), "index_get": (((0,),), [x, at]),
        "index_put": (((0,), "set"), [x, src, at]), "window_scatter": (((4,),), [src, at]),
    }[name]  # fmt: skip
    graph = op_graph(OPS[name], attrs, types_of(arrays))
    for which in choices(len(arrays)):
        if not which[[a is at for a in arrays].index(True)]:
            continue
        over = batch(graph, which, 3)
        given = stacked([arrays] * 3, which, 3)
        given[[a is at for a in arrays].index(True)][2, 1] = 4
        with pytest.raises(IndexError, match=f"{name}: index 4 is out of range"):
            run(over.graph, given)


# -- graphs ----------------------------------------------------------------------------------------------------------


def doubles(*shapes: tuple[int, ...]) -> list:
    return [(s, f64) for s in shapes]


def draw(graph: Graph, n: int) -> list[Arrays]:
    return [arrays_for(graph, seed) for seed in range(n)]


def matmul(x: Expr, y: Expr) -> Expr:
    return OPS["dot"](x, y, batch=((), ()), contract=((x.rank - 1,), (0,)))


def test_nodes_that_read_nothing_batched_stay():
    graph = graph_of(doubles((2, 3), (3, 4)), lambda x, w: (matmul(x, OPS["tanh"](w)), w.sum((0,)), x))
    over = check(graph, draw(graph, 3), (True, False), 3)
    assert over.outputs == (True, False, True)
    assert [n.outputs[0].type.shape for n in over.graph.nodes if n.op.name in ("tanh", "reduce_sum")] == [(3, 4), (1, 4)]
    assert batch(graph, (True, False), 3) is over
    assert batch(graph, (False, False), 3).outputs == (False,) * 3


def test_outputs_may_be_asked_for():
    graph = graph_of(doubles((2,), (3,)), lambda x, w: (x + 1.0, w, w * 2.0))
    (x, w), *_ = draw(graph, 1)
    over = batch(graph, (True, False), 4, (False, True, False))
    assert over.outputs == (True, True, False)
    out = run(over.graph, [np.stack([x] * 4), w])
    assert np.array_equal(out[1], np.stack([w] * 4)) and np.array_equal(out[2], 2 * w)


def test_a_scalar_input_that_is_batched_is_none_any_more():
    b = Builder("scaled")
    number = tensor_type(f32, ())
    x, s, t = b.input(tensor_type(f32, (3,)), "x"), b.input(number, "s", scalar=True), b.input(number, "t", scalar=True)
    graph = b.freeze(((b.expr(x) * b.expr(s) + b.expr(t)).value,))
    over = check(graph, draw(graph, 3), (False, True, False), 3)
    assert over.graph.scalars == {2} and over.graph.input_names == ("x", "s", "t")


def test_masks_that_do_not_fit():
    graph = graph_of(doubles((2,), (2,)), lambda x, w: x + w)
    with pytest.raises(ValueError, match="2 inputs and 1 outputs, got a choice of 1 inputs and 1 outputs"):
        batch(graph, (True,), 3)
    with pytest.raises(ValueError, match="got a choice of 2 inputs and 2 outputs"):
        batch(graph, (True, True), 3, (True, False))


def attention(x: Expr, w: Expr, v: Expr) -> tuple[Expr, Expr]:
    scores = matmul(x, w)
    e = OPS["exp"](scores - OPS["reduce_max"](scores, axes=(1,)))
    p = e / e.sum((1,))
    best = OPS["argmax"](p, axis=1)
    return matmul(p, v), OPS["gather"](p, best, axis=1)


@pytest.mark.parametrize("size", [3, 1, 0])
def test_several_ops(size):
    graph = graph_of(doubles((4, 3), (3, 5), (5, 2)), attention)
    for which in choices(3):
        check(graph, draw(graph, 3), which, size)


def test_batches_of_batches():
    graph = graph_of(doubles((4, 3), (3, 5), (5, 2)), attention)
    inner = batch(graph, (True, False, False), 2)
    samples = [[np.stack([a, a[::-1]]), w, v] for a, w, v in draw(graph, 3)]
    for which in choices(3):
        over = check(inner.graph, samples, which, 3)
        assert over.outputs[0] and inner.outputs == (True, True)


def cell(w: Expr, h: Expr, t: Expr, x: Expr) -> tuple[Expr, ...]:
    """Carries h (which w and x make batched) and a step count (which stays as it is); emits both."""
    new = OPS["tanh"](matmul(h, w) + x)
    return new, t + 1.0, new * 2.0, t


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [3, 1, 0])
def test_scan(size, reverse):
    body = graph_of(doubles((3, 3), (2, 3), (), (2, 3)), cell)
    for length in (4, 1, 0):
        attrs = (body, 1, 2, length, reverse)
        types = (*body.in_types[:3], body.in_types[3].with_shape((length, 2, 3)))
        graph = op_graph(OPS["scan"], attrs, types)
        for which in choices(4):
            over = check(graph, draw(graph, 3), which, size)
            assert over.outputs == (which[0] or which[1] or which[3], which[2]) * 2
            (step,) = (n for n in over.graph.nodes if n.op.name == "scan")
            assert step.inputs[2].type.rank == which[2]  # the count is carried once, not for each sample


def test_carries_become_batched_one_after_the_other():
    """c reads b, b reads a, a reads x: each round of the fixed point finds one more."""
    body = graph_of(doubles((), (), (), (), ()), lambda a, b, c, d, x: (a + x, b * a, c + b, d + 1.0))
    graph = op_graph(OPS["scan"], (body, 0, 4, 5, False), (*body.in_types[:4], tensor_type(f64, (5,))))
    over = check(graph, draw(graph, 3), (False,) * 4 + (True,), 3)
    assert over.outputs == (True, True, True, False)


def test_a_carry_that_is_batched_stays_so():
    """Every step makes c the same for all samples, but before the first step it is not."""
    body = graph_of(doubles((), (), ()), lambda c, d, x: (x * 2.0, d + c))
    for length in (3, 0):
        graph = op_graph(OPS["scan"], (body, 0, 2, length, False), (*body.in_types[:2], tensor_type(f64, (length,))))
        assert check(graph, draw(graph, 3), (True, False, False), 3).outputs == (True, True)


def test_calls_and_loops_within_loops():
    inner = graph_of(doubles((2,), (2,)), lambda c, x: (c + x, c * x))

    def row(w: Expr, h: Expr, xs: Expr) -> tuple[Expr, Expr]:
        last, ys = OPS["scan"](h, xs, body=inner, n_const=0, n_carry=1, length=3, reverse=True)
        scaled, _ = OPS["call"](last, w, graph=inner)
        return OPS["tanh"](scaled), ys

    body = graph_of(doubles((2,), (2,), (3, 2)), row)

    def whole(w: Expr, h: Expr, xs: Expr) -> tuple[Expr, ...]:
        return OPS["scan"](w, h, xs, body=body, n_const=1, n_carry=1, length=4, reverse=False)

    graph = graph_of(doubles((2,), (2,), (4, 3, 2)), whole)
    for which in choices(3):
        check(graph, draw(graph, 3), which, 3)


# -- with derivatives ------------------------------------------------------------------------------------------------


def network(x: Expr, target: Expr, kernel: Expr, bias: Expr, w: Expr) -> Expr:
    """The loss of a small convolutional classifier of one image [C,H,W] and its class."""
    none = ((0, 0), (0, 0))
    h = OPS["conv"](x.reshape((1, *x.shape)), kernel, stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
    h = OPS["maximum"](h + bias.reshape((1, bias.shape[0], 1, 1)), 0.0)
    h = OPS["window_max"](h, window=(2, 2), stride=(2, 2), padding=none, dilation=(1, 1))
    scores = matmul(h.reshape((h.type.numel,)), w)
    e = OPS["exp"](scores - OPS["reduce_max"](scores, axes=(0,)))
    return OPS["log"](e.sum((0,))).reshape(()) - OPS["index_get"](scores - OPS["reduce_max"](scores, axes=(0,)), target, axes=(0,))


def test_gradients_of_each_sample():
    """batch(vjp(f)): what per-sample gradients are made of; only images and classes are batched, the parameters are shared."""
    graph = graph_of([((2, 6, 6), f64), ((), i64), *doubles((4, 2, 3, 3), (4,), (36, 5))], network)
    (x, _, *weights), *others = draw(graph, 3)
    samples = [[a, np.int64(k), *weights] for k, a in enumerate((x, *(o[0] for o in others)))]
    back = vjp(graph, (True, False, True, True, True), (True,))
    one = np.float64(1.0)
    per_image = tuple(i in (0, 1) for i in back.reads_inputs) + (True,) * len(back.reads_outputs) + (False,)
    given = [[s[i] for i in back.reads_inputs] + [run(graph, s)[i] for i in back.reads_outputs] + [one] for s in samples]
    over = check(back.graph, given, per_image, 3)
    assert over.outputs == (True,) * 4 and [t.shape for t in over.graph.out_types] == [
        (3, 2, 6, 6), (3, 4, 2, 3, 3), (3, 4), (3, 36, 5)
    ]  # fmt: skip
    summed = vjp(batch(graph, (True, True, False, False, False), 3).graph, (True, False, True, True, True), (True,))
    batched = [np.stack([s[i] for s in samples]) if i < 2 else samples[0][i] for i in range(5)]
    outs = run(batch(graph, (True, True, False, False, False), 3).graph, batched)
    seeds = [batched[i] for i in summed.reads_inputs] + [outs[i] for i in summed.reads_outputs] + [np.ones(3)]
    for each, total in zip(run(over.graph, stacked(given, per_image, 3))[1:], run(summed.graph, seeds)[1:]):
        np.testing.assert_allclose(each.sum(0), total, rtol=1e-10, atol=1e-12)


def test_jacobians_both_ways():
    """A batch of unit vectors: of cotangents gives the Jacobian's rows, of tangents its columns."""
    graph = graph_of(
        doubles((4,), (3, 4)), lambda x, w: OPS["tanh"](matmul(w, x)) * OPS["cumprod"](x, axis=0, reverse=False).sum((0,))
    )
    (x, w), *_ = draw(graph, 1)
    back = vjp(graph, (True, False), (True,))
    fixed = [[x, w][i] for i in back.reads_inputs] + [run(graph, [x, w])[i] for i in back.reads_outputs]
    rows = batch(back.graph, (False,) * len(fixed) + (True,), 3)
    push = jvp(graph, (True, False))
    columns = batch(push.graph, (False, False, True), 4)
    assert rows.outputs == (True,) and columns.outputs == (False, True)
    (by_rows,) = run(rows.graph, [*fixed, np.eye(3)])
    _, by_columns = run(columns.graph, [x, w, np.eye(4)])
    np.testing.assert_allclose(by_rows, by_columns.T, rtol=1e-12)


# -- random graphs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(150))
def test_random_graph(seed):
    graph, arrays = generate(seed, 4 + seed % 14)
    rng = np.random.default_rng(seed)
    samples = [arrays, *(redrawn(graph, arrays, rng) for _ in range(2))]
    which = tuple(bool(w) for w in rng.random(len(arrays)) < 0.6)
    try:
        for choice in {which, (True,) * len(arrays)}:
            check(graph, samples, choice, (3, 3, 3, 1, 0)[seed % 5])
    except Exception as error:
        pytest.fail(f"seed {seed}, batched {which}: {error}\n{case_text(graph, arrays)}")
