"""Attention: products of products, whose factors are made where they are read and never lie in memory.

What stands between the two products of

    S = dot(Q, K);  m = max(x(S));  e = exp(x(S) - m);  l = sum(e);  O = dot(w(e / l), V)

is a matrix with a row for each query and a column for each key, and so is what stands between those of its gradients. Where nothing but
such products and sums of its rows read it, the pass puts calls in their place: of graphs that go from operands, masks and row statistics
to what the products make. A target that has kernels of kind "attention" makes each call with the matrix in tiles on chip: the first with
a running maximum and sum, those of the gradients from the statistics that it leaves. Where it has none for each product on its own,
all gradients are one call: a CPU's worker does a whole matrix, and makes no product twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingot.ir.dtypes import Half, f32
from ingot.ir.facts import Reduction
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop.folds import AND, MAX, SUM
from ingot.ir.lower.elements import apply
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.op import OPS
from ingot.ir.ops.contraction import dot
from ingot.ir.size import equal
from ingot.ir.struct import frozen, struct
from ingot.ir.types import Dim

__all__ = [
    "Parts", "Softmax", "below_diagonal", "contracted", "folds_by", "is_constant", "matrix_side", "parts_of", "power", "score_of",
    "side_of", "softmax_of",
]  # fmt: skip

@frozen
@struct
class Softmax:
    """The statistics of rows, and what they are made of: `top` the maximum of x, `total` the sum of e = exp(x - top); where `dead`, whether
    all `scores` of a row are -inf, there is, x is 0 in such a row."""

    x: Value
    top: Value
    e: Value
    total: Value
    dead: Value | None
    scores: Value


@frozen
@struct
class Parts:
    """What a graph that the pass calls is made of.

    scores    products whose results are elements of the matrix
    products  those that read it
    folds     sums of its rows, where it is no softmax
    softmax   whose statistics are found on the way
    rows      the products sum over columns, so that a block keeps rows; else the other way round
    batch, extents   of the matrix
    """

    scores: tuple[Node, ...]
    products: tuple[Node, ...]
    folds: tuple[Node, ...]
    softmax: Softmax | None
    rows: bool
    batch: tuple[Dim, ...]
    extents: tuple[Dim, Dim]


def parts_of(body: Graph) -> Parts:
    """The parts of a graph that the pass calls."""
    producers = body.producers
    ends = [producers[v] for v in body.outputs]
    softmax = softmax_of(body, next((n for n in body.nodes if folds_by(n, MAX)), None))
    statistics = () if softmax is None else (softmax.top, softmax.total, softmax.dead)
    products = tuple(n for n in dict.fromkeys(ends) if n.op is dot)
    scores = tuple(n for n in body.nodes if n.op is dot and n not in products)
    folds = tuple(n for n in dict.fromkeys(ends) if n.op is not dot and n.outputs[0] not in statistics)
    shape = scores[0].outputs[0].type.shape
    rows = not products or contracted(products[0], side_of(products[0], _matrices(body))) == len(shape) - 1
    return Parts(scores, products, folds, softmax, rows, shape[:-2], (shape[-2], shape[-1]))


def matrix_side(body: Graph, product: Node) -> int:
    """Which operand of a product is the matrix."""
    return side_of(product, _matrices(body))


def score_of(body: Graph, n: Node) -> Value:
    """What a sum in single precision stands for: a product, or what it is cast to."""
    v = n.outputs[0]
    users = body.users[v]
    if v.type.dtype in Half and len(users) == 1 and users[0].op is OPS["cast"] and users[0].outputs[0].type.dtype is f32:
        return users[0].outputs[0]
    return v


def power(w: KernelWriter, body: Graph, s: Softmax, x: Scalar, level: Scalar) -> Scalar:
    """exp(x - level), as the graph says it."""
    exp = body.producers[s.e]
    sub = body.producers[exp.inputs[0]]
    return apply(w, exp, [apply(w, sub, [x, level])])


def _matrices(body: Graph) -> set[Value]:
    """The values that follow from scores and have the matrix's shape."""
    out: set[Value] = set()
    for n in body.nodes:
        if n.op is dot and n.outputs[0] not in body.outputs or n.op is not dot and any(v in out for v in n.inputs):
            if not isinstance(n.op.lowering, Reduction):
                out.update(n.outputs)
    return out


def side_of(product: Node, matrices: Iterable[Value]) -> int:
    return 0 if product.inputs[0] in matrices else 1


def contracted(product: Node, side: int) -> int:
    """The dim of an operand that a product sums over."""
    return product.attrs[1][side][0]


def below_diagonal(body: Graph) -> bool:
    """Whether elements in columns behind their row make nothing of what the graph gives."""
    parts, zero, lowest = parts_of(body), 0.0, float("-inf")
    if parts.softmax is not None and not _nothing(body, parts.softmax.scores, lowest):
        return False
    if parts.softmax is not None and len(parts.products) <= 1 and not parts.folds:  # exponentials of -inf, times something (_linear)
        return True
    known = () if parts.softmax is None else (parts.softmax.top, parts.softmax.total, parts.softmax.dead)
    sums = [n for n in body.nodes if isinstance(n.op.lowering, Reduction) and n.outputs[0] not in known]
    if any(not folds_by(n, SUM) for n in sums):
        return False
    products = [n.inputs[matrix_side(body, n)] for n in parts.products]
    return all(_nothing(body, v, zero) for v in (*products, *(n.inputs[0] for n in sums)))


def _nothing(body: Graph, v: Value, value: float) -> bool:
    """Whether a value is this number (0 or -inf) in columns behind the row."""
    n = body.producers.get(v)
    if n is None:
        return False
    name, a = n.op.name, n.inputs[0] if n.inputs else v
    if name == "select":
        return is_constant(body, n.inputs[2], value) and _behind(body, a)
    if name == "exp":
        return value == 0 and _nothing(body, a, float("-inf"))
    if name in ("mul", "div", "neg") and value == 0:
        return _nothing(body, a, value) or name == "mul" and _nothing(body, n.inputs[1], value)
    return name in (("cast", "sub") if value else ("cast", "round_tf32")) and _nothing(body, a, value)


def _behind(body: Graph, v: Value) -> bool:
    """Whether a condition fails in columns behind the row: column <= row."""
    n = body.producers.get(v)
    if n is None or n.op.name not in ("le", "lt", "ge", "gt"):
        return False
    small, large = n.inputs if n.op.name[0] == "l" else n.inputs[::-1]
    return _place(body, small, -1) and _place(body, large, -2)


def _place(body: Graph, v: Value, dim: int) -> bool:
    """Whether the elements of a value are their places along a dim, counted from the end."""
    n = body.producers.get(v)
    if n is None:
        return False
    if n.op.name == "iota":
        return n.attr("axis") - v.type.rank == dim
    if n.op.name == "broadcast":
        return _place(body, n.inputs[0], dim)
    source = n.inputs[0].type.shape if n.inputs else ()
    if n.op.name != "reshape" or len(source) != 1 or v.type.rank < -dim:
        return False
    return bool(equal(v.type.shape[dim], source[0])) and all(d == 1 for k, d in enumerate(v.type.shape, -v.type.rank) if k != dim) and (
        _place(body, n.inputs[0], -1)
    )


def folds_by(n: Node, fold: object) -> bool:
    """Whether a node folds rows by this fold."""
    kind = n.op.lowering
    return isinstance(kind, Reduction) and kind.fold is fold and n.attrs[0] == (n.inputs[0].type.rank - 1,)


def is_constant(graph: Graph, v: Value, value: float) -> bool:
    """Whether a value is this number everywhere."""
    n = graph.producers.get(v)
    if n is None or n.op is not OPS["constant"]:
        return n is not None and n.op is OPS["broadcast"] and is_constant(graph, n.inputs[0], value)
    payload = n.attrs[0]
    return payload.type.numel == 1 and bool(payload.array().reshape(-1)[0] == value)


def softmax_of(graph: Graph, top: Node | None) -> Softmax | None:
    """The softmax that a maximum of rows belongs to."""
    if top is None:
        return None
    x, m = top.inputs[0], top.outputs[0]
    dead, scores = None, x
    n = graph.producers.get(x)
    if n is not None and n.op is OPS["select"] and is_constant(graph, n.inputs[1], 0.0):
        fold = graph.producers.get(n.inputs[0])
        if fold is not None and folds_by(fold, AND):
            lowest = graph.producers.get(fold.inputs[0])
            if lowest is not None and lowest.op is OPS["eq"] and lowest.inputs[0] is n.inputs[2]:
                if is_constant(graph, lowest.inputs[1], float("-inf")):
                    dead, scores = fold.outputs[0], n.inputs[2]
    for sub in graph.users.get(x, ()):
        if sub.op is OPS["sub"] and sub.inputs == (x, m):
            for exp in graph.users.get(sub.outputs[0], ()):
                if exp.op is OPS["exp"]:
                    for total in graph.users.get(exp.outputs[0], ()):
                        if folds_by(total, SUM) and x.type.dtype is f32:
                            return Softmax(x, m, exp.outputs[0], total.outputs[0], dead, scores)
    return None
