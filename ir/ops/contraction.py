"""dot: sums of products over contracted dims, with batch dims; matmul and its kin are made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Complex, Number, by_numpy
from ingot.ir.facts import Contraction, Foldable, OverComplex
from ingot.ir.graph import Node
from ingot.ir.loop.points import Point
from ingot.ir.op import OPS
from ingot.ir.ops.batching import move_dim
from ingot.ir.ops.family import bilinear_jvp, declare, narrow, need_alike, need_dtype, need_same, widen
from ingot.ir.ops.form import Form
from ingot.ir.ops.samples import Case, case
from ingot.ir.size import ShapeError
from ingot.ir.types import TensorType, tensor_type

Dims = tuple[int, ...]
Pair = tuple[Dims, Dims]


def free(rank: int, *used: Dims) -> Dims:
    """The dims of 0 .. rank that are in none of `used`."""
    return tuple(i for i in range(rank) if not any(i in u for u in used))


def _infer(types: tuple[TensorType, ...], batch: Pair, contract: Pair) -> TensorType:
    if len(types) != 2:
        raise TypeError(f"dot: takes 2 inputs, got {len(types)}")
    a, b = types
    need_same("dot", types)
    need_dtype("dot", a, Number | Complex)
    for t, ba, co in zip(types, batch, contract):
        dims = ba + co
        if len(set(dims)) != len(dims) or any(not 0 <= d < t.rank for d in dims):
            raise ShapeError(f"dot: batch dims {ba} and contracted dims {co} must be different dims of {t}")
    for what, (da, db) in (("batch", batch), ("contracted", contract)):
        of_a, of_b = tuple([a.shape[i] for i in da]), tuple([b.shape[i] for i in db])
        need_alike(of_a, of_b, lambda: f"dot: {what} dims differ: {da} of {a} and {db} of {b}")  # noqa: B023
    shape = tuple(a.shape[i] for i in batch[0] + free(a.rank, batch[0], contract[0]))
    return tensor_type(a.dtype, shape + tuple(b.shape[i] for i in free(b.rank, batch[1], contract[1])))


def _ref(a: np.ndarray, b: np.ndarray, batch: Pair, contract: Pair) -> np.ndarray:
    d = by_numpy(a.dtype)
    fa, fb = free(a.ndim, batch[0], contract[0]), free(b.ndim, batch[1], contract[1])
    x = widen(a, True).transpose(batch[0] + fa + contract[0])
    y = widen(b, True).transpose(batch[1] + contract[1] + fb)
    nb, nk = len(batch[0]), len(contract[0])
    lead, m, k, n = x.shape[:nb], x.shape[nb : x.ndim - nk], x.shape[x.ndim - nk :], y.shape[nb + nk :]
    size = [int(np.prod(s, dtype=np.int64)) for s in (lead, m, k, n)]
    out = np.matmul(x.reshape(size[0], size[1], size[2]), y.reshape(size[0], size[2], size[3]))
    return narrow(out.reshape(lead + m + n), d)


def _vjp(cts: Sequence[Expr], ins: Sequence[Expr], outs: Sequence[Expr], batch: Pair, contract: Pair) -> list[Expr]:
    """Each input's gradient is the dot of the cotangent with the other input over the other's free dims."""
    (a, b), ct = ins, cts[0]
    fa, fb = free(a.rank, batch[0], contract[0]), free(b.rank, batch[1], contract[1])
    na = len(batch[0])
    lead = tuple(range(na))
    rows = tuple(range(na, na + len(fa)))
    columns = tuple(range(na + len(fa), ct.rank))
    # ct with b: batch dims, a's free dims, then b's contracted dims in the order they have in b
    da = OPS["dot"](ct, b, batch=(lead, batch[1]), contract=(columns, fb))
    order = batch[0] + fa + tuple(contract[0][contract[1].index(j)] for j in sorted(contract[1]))
    da = da.transpose(tuple(order.index(i) for i in range(a.rank)))
    # a with ct: batch dims, a's contracted dims in the order they have in a, b's free dims
    db = OPS["dot"](a, ct, batch=(batch[0], lead), contract=(fa, rows))
    order = batch[1] + tuple(contract[1][contract[0].index(i)] for i in sorted(contract[0])) + fb
    return [da, db.transpose(tuple(order.index(j) for j in range(b.rank)))]


def _batch(ins: Sequence[Expr], batched: Sequence[bool], batch: Pair, contract: Pair) -> tuple[list[Expr], list[bool]]:
    """Batches of both are one more batch dim. That of one alone is a free dim, which the result has behind the batch dims (and a's)."""
    (a, b), (on_a, on_b) = ins, batched
    shifted = [tuple(tuple(d + own for d in dims) for dims, own in zip(pair, batched)) for pair in (batch, contract)]
    (ba, bb), co = shifted
    if on_a and on_b:
        return [OPS["dot"](a, b, batch=((0, *ba), (0, *bb)), contract=co)], [True]
    y = OPS["dot"](a, b, batch=(ba, bb), contract=co)
    at = len(ba) if on_a else len(ba) + len(free(a.rank, ba, co[0]))
    return [move_dim(y, at, 0)], [True]


_PATTERNS: list[tuple[tuple[int, ...], tuple[int, ...], Pair, Pair]] = [
    ((3, 4), (4, 5), ((), ()), ((1,), (0,))),
    ((3, 4), (5, 4), ((), ()), ((1,), (1,))),
    ((4, 3), (4, 5), ((), ()), ((0,), (0,))),
    ((2, 3, 4), (2, 4, 5), ((0,), (0,)), ((2,), (1,))),
    ((3, 2, 4), (4, 5, 2), ((1,), (2,)), ((2,), (0,))),
    ((2, 3, 4, 5), (5, 6, 3), ((), ()), ((3, 1), (0, 2))),
    ((3, 2, 4, 2), (4, 2, 3, 7), ((1,), (1,)), ((0, 2), (2, 0))),
    ((4,), (4,), ((), ()), ((0,), (0,))),
    ((3,), (4,), ((), ()), ((), ())),
    ((5,), (5,), ((0,), (0,)), ((), ())),
    ((3, 0), (0, 5), ((), ()), ((1,), (0,))),
    ((0, 4), (4, 5), ((), ()), ((1,), (0,))),
    ((1, 17), (17, 1), ((), ()), ((1,), (0,))),
]


def _samples() -> list[Case]:
    out = [case((d, a), (d, b), batch=ba, contract=co) for d in ("f32", "c64") for a, b, ba, co in _PATTERNS]
    a, b, ba, co = _PATTERNS[3]
    return out + [case((d.name, a), (d.name, b), batch=ba, contract=co) for d in sorted(Number | Complex, key=str) if d.name != "f32"]


def _form(node: Node) -> Form:
    a, b = node.inputs
    batch, contract = node.attrs
    fa, fb = free(a.type.rank, batch[0], contract[0]), free(b.type.rank, batch[1], contract[1])
    left, right = a.type.shape, b.type.shape

    def place(*parts: tuple[Dims, Point]) -> Point:
        where = {d: i for dims, point in parts for d, i in zip(dims, point)}
        return tuple(where[d] for d in range(len(where)))

    return Form(
        batch=tuple(left[d] for d in batch[0]),
        m=tuple(left[d] for d in fa),
        n=tuple(right[d] for d in fb),
        k=tuple(left[d] for d in contract[0]),
        left=a,
        at_left=lambda q, m, k: place((batch[0], q), (fa, m), (contract[0], k)),
        right=b,
        at_right=lambda q, k, n: place((batch[1], q), (fb, n), (contract[1], k)),
        dims=tuple((d,) for d in range(len(batch[0]) + len(fa) + len(fb))),
        b_batch=tuple(range(len(batch[0]))),
    )


dot = declare(
    "dot", attrs=("batch", "contract"), infer=_infer, ref=_ref, vjp=_vjp, jvp=bilinear_jvp("dot"), batch=_batch,
    samples=_samples,
    doc="Products summed over the `contract` dims, for each index of the `batch` dims. The result has the batch dims, the free dims of a, "
    "the free dims of b. Halves accumulate in f32, integers wrap around.",
    lowering=Contraction(_form), foldable=Foldable.NEVER, over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
