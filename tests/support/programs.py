"""Graphs of several ops: products, convolutions, normalisations, losses, updates, loops of steps."""

from __future__ import annotations

from collections.abc import Sequence

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir import dtypes as D
from ingot.ir.builder import Builder
from ingot.ir.graph import Graph, Location
from ingot.ir.op import OPS as O
from ingot.ir.types import tensor_type


def dot(a, b, ca=1, cb=0, batch=((), ())):
    return O["dot"](a, b, batch=batch, contract=((ca,), (cb,)))


def conv(x, w, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    return O["conv"](x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)


def relu(x):
    return O["maximum"](x, x.const(0.0))


def mean(x, axes):
    n = 1
    for a in axes:
        n *= x.shape[a]
    return x.sum(axes) * (1 / n)


def softmax(x):
    e = O["exp"](x - O["reduce_max"](x, axes=(x.rank - 1,)))
    return e / e.sum((x.rank - 1,))


def layer_norm(x, g, b):
    d = x - mean(x, (x.rank - 1,))
    return d * O["rsqrt"](mean(d * d, (x.rank - 1,)) + 1e-5) * g + b


def batch_norm(x):
    d = x - mean(x, (0, 2, 3))
    return d * O["rsqrt"](mean(d * d, (0, 2, 3)) + 1e-5)


def cross_entropy(x, t):
    m = x - O["reduce_max"](x, axes=(1,))
    ls = m - O["log"](O["exp"](m).sum((1,)))
    return -mean(O["gather"](ls, t.reshape((t.shape[0], 1)), axis=1), (0, 1))


def adam(p, m, v, g):
    m, v = m * 0.9 + g * 0.1, v * 0.99 + g * g * 0.01
    return p - m * 0.1 / (O["sqrt"](O["abs"](v)) + 1e-3), m, v


CASES = {  # inputs and function: what `graph_of` takes
    "product": ([(30, 20), (20, 50)], dot),
    "product, transposed, bias, relu": ([(30, 20), (50, 20), (50,)], lambda a, b, c: relu(dot(a, b, 1, 1) + c)),
    "product of one row": ([(1, 200), (50, 200), (50,)], lambda a, b, c: relu(dot(a, b, 1, 1) + c)),
    "product of two rows, columns contiguous": ([(2, 200), (200, 50)], dot),
    "outer product": ([(20,), (50,)], lambda a, b: O["dot"](a, b, batch=((), ()), contract=((), ()))),
    "batched product": ([(3, 17, 20), (3, 20, 9)], lambda a, b: dot(a, b, 2, 1, ((0,), (0,)))),
    "rows in two dims": ([(2, 5, 20), (40, 20)], lambda a, b: dot(a, b, 2, 1)),
    "attention scores": ([(2, 6, 3, 8), (2, 6, 3, 8)], lambda a, b: softmax(dot(a, b, 3, 3, ((0, 2), (0, 2))))),
    "long k": ([(700, 30), (700, 40)], lambda a, b: dot(a, b, 0, 0)),
    "rows across k": ([(40, 150), (40, 100), (150, 1)], lambda a, b, c: relu(dot(a, b, 0, 0) + c)),
    "rows across two dims of k": ([(3, 20, 260), (3, 20, 70)], lambda a, b: O["dot"](a, b, batch=((), ()), contract=((0, 1), (0, 1)))),
    "rows across k, batched, float64": ([((2, 9, 130), D.f64), ((2, 9, 65), D.f64)], lambda a, b: dot(a, b, 1, 1, ((0,), (0,)))),
    "bfloat16 product": ([((30, 20), D.bf16), ((20, 50), D.bf16)], dot),
    "float64 product": ([((30, 20), D.f64), ((20, 50), D.f64)], dot),
    "integer product": ([((30, 20), D.i32), ((20, 50), D.i32)], dot),
    "convolution": ([(2, 5, 8, 8), (7, 5, 3, 3), (7, 1, 1)], lambda x, w, b: relu(conv(x, w, padding=((1, 1), (1, 1))) + b)),
    "odd convolution": ([(2, 6, 9, 9), (8, 3, 3, 2)], lambda x, w: conv(x, w, (2, 2), ((0, 1), (2, 1)), (1, 2), 2)),
    "1d convolution": ([(2, 6, 40), (8, 6, 5)], lambda x, w: conv(x, w, (1,), ((2, 2),), (1,))),
    "depthwise convolution": ([(2, 6, 9, 9), (6, 1, 3, 3)], lambda x, w: conv(x, w, padding=((1, 1), (1, 1)), groups=6)),
    "softmax, then layer_norm": ([(20, 70), (70,), (70,)], lambda x, g, b: layer_norm(softmax(x), g, b)),
    "softmax of columns": ([(30, 70)], lambda x: softmax(x.transpose((1, 0)))),
    "batch_norm": ([(8, 3, 6, 6)], batch_norm),
    "column sums": ([(200, 70)], lambda x: (x.sum((0,)), (x * x).sum((0,)))),
    "a long sum": ([(300, 200)], lambda x: x.sum((0, 1)) * 2),
    "long columns": ([(9000, 5)], lambda x: x.sum((0,))),
    "a long argmax": ([(50000,)], lambda x: O["argmax"](x, axis=0)),
    "argmax both ways": ([(50, 300)], lambda x: (O["argmax"](x, axis=1), O["argmax"](x, axis=0))),
    "adam": ([(40, 30)] * 4, adam),
    "transposed sum": ([(30, 40), (40, 30)], lambda a, b: a.transpose((1, 0)) + b),
    "cross entropy": ([(20, 30), ((20,), D.i64)], cross_entropy),
    "embedding": ([(20, 16), ((4, 5), D.i64)], lambda w, i: O["index_get"](w, i, axes=(0,)) * 2.0),
    "concatenation": ([(4, 5), (4, 6), (4, 3)], lambda a, b, c: O["concatenate"](a, b * 2.0, c, axis=1)),
    "square columns and rows": ([(9, 9)], lambda x: (x - mean(x, (1,))) + mean(x, (0,)) * mean(x, (1,)).reshape((9,))),
    "large elementwise": ([(70001,), (70001,)], lambda x, y: O["tanh"](x) * y + x),
    "reshape between": ([(12, 10), (120,)], lambda x, y: (O["exp"](x).reshape((120,)) * y).reshape((10, 12)).sum((1,))),
    "output that is an input": ([(3, 4)], lambda x: (x, x + 1.0, x)),
    "output that is a view": ([(3, 4)], lambda x: (x.transpose((1, 0)), (x * 2.0).reshape((12,)), x.const(3.0))),
    "spaces of unequal rank": (
        [(2, 4)] * 3,
        lambda x, a, b: (x.reshape((2, 1, 4)) - mean(x.reshape((2, 1, 4)), (2,))) * (a * b).reshape((2, 1, 4)),
    ),
    "reductions of nothing": ([(0, 8), (0, 2)], lambda x, y: mean((x * 2.0).reshape((0, 2, 4)), (2,)).reshape((0, 2)) + y),
    "sorted nothing, scattered": (
        [(0,), (0,)],
        lambda x, g: O["scatter"](x.const(0.0).broadcast((0,)), O["sort"](x, axis=0, descending=False)[1], g, axis=0, mode="add"),
    ),
    "nothing": ([(0, 4), (4,)], lambda x, y: (x * y, x.sum((0,)), x.sum((1,)))),
}  # fmt: skip


def lstm(reverse: bool, steps: int = 7, batch: int = 5, hidden: int = 16) -> Graph:
    """A scan of LSTM cells."""
    b = Builder("body")
    w, h, c, x = (
        b.expr(b.input(tensor_type(D.f32, s))) for s in ((4 * hidden, hidden), (batch, hidden), (batch, hidden), (batch, 4 * hidden))
    )
    z = dot(h, w, 1, 1) + x
    i, f, o, g = (O["slice"](z, starts=(0, k * hidden), stops=(batch, (k + 1) * hidden), steps=(1, 1)) for k in range(4))
    c = O["sigmoid"](f) * c + O["sigmoid"](i) * O["tanh"](g)
    h = O["sigmoid"](o) * O["tanh"](c)
    body = b.freeze((h.value, c.value, h.value))
    b = Builder()
    shapes = ((4 * hidden, hidden), (batch, hidden), (batch, hidden), (steps, batch, 4 * hidden))
    ins = tuple(b.input(tensor_type(D.f32, s)) for s in shapes)
    return b.freeze(b.emit(O["scan"], ins, (body, 1, 2, steps, reverse)))


def mixed(name: str = "mixed", n: int = 24, locs: Sequence[Location | None] = (None, None)) -> Graph:
    """A product, a softmax, a sort, a scatter, and two gathers, with their checks. `locs`: where the gathers were recorded."""
    b = Builder(name)
    x, w = b.expr(b.input(tensor_type(D.f32, (n, 32)), "x")), b.expr(b.input(tensor_type(D.f32, (32, 16)), "w"))
    i = b.expr(b.input(tensor_type(D.i64, (5,)), "i"))
    soft = softmax(dot(x, w))
    out = [soft, O["sort"](x, axis=1, descending=False)[0], O["scatter"](soft, i.reshape((5, 1)), soft, axis=0, mode="add")]
    for source, b.loc in zip((soft, x), locs):
        out.append(O["index_get"](source, i, axes=(0,)))
    b.loc = None
    return b.freeze(tuple(e.value for e in out))
