"""LDL factors of symmetric and Hermitian matrices that need not be definite, and solving from them. `ingot.linalg` gives them.

Source: Bunch and Kaufman, Some stable methods for calculating inertia and solving symmetric linear systems (1977), in LAPACK's form
(sytf2, hetf2): pivots of one or two rows, and L as a product of exchanges and columns.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot.functions.common import ShapeError, Tensor, apply, broadcast_shapes, cast, check_tensor, dtypes, emit_out, scalar
from ingot.functions.lu import first
from ingot.functions.matmul import matmul
from ingot.functions.matrices import check_matrices, conj, flat, required
from ingot.functions.matrix_scans import loop, pick, pivot_size, places, where
from ingot.functions.reduce import reduced

__all__: list[str] = []

ALPHA = (1 + math.sqrt(17)) / 8  # bounds growth alike for pivots of one and of two rows


class LDL(NamedTuple):
    """What `linalg.ldl_factor` returns."""

    LD: Tensor
    pivots: Tensor


class LDLInfo(NamedTuple):
    """What `linalg.ldl_factor_ex` returns."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


def _exchange(x: Tensor, axis: int, i: Tensor, j: Tensor) -> Tensor:
    """`x` (b, n, m) with the slices i and j (b, 1, 1) along `axis` exchanged."""
    place = places(x, axis)
    return apply("gather", x, where(place == i, j, where(place == j, i, place)), attrs=(axis,))


def _at(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """x[row, column] of each matrix, (b, 1, 1)."""
    found = apply("logical_and", places(x, 1) == row, places(x, 2) == column)
    return reduced("reduce_sum", where(found, x, 0.0), (1, 2), True)


def _column(x: Tensor, k: Tensor) -> Tensor:
    return reduced("reduce_sum", where(places(x, 2) == k, x, 0.0), (2,), True)


def _turned(x: Tensor, hermitian: bool) -> Tensor:
    x = apply("transpose", x, attrs=((0, 2, 1),))
    return conj(x) if hermitian else x


@composite
def _factor(a: Tensor, hermitian: bool) -> tuple[Tensor, Tensor]:
    """LD (b, n, n) of matrices whose both triangles are set, and the pivots (b, n)."""
    b, n, _ = a.shape

    def step(a: Tensor, held: Tensor, second: Tensor, pivot: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        size = pivot_size(a)
        below = places(held, 1) > k
        column = where(below, _column(size, k), -1.0)
        top = reduced("reduce_max", column, (1,), True)
        best = apply("reshape", apply("argmax", column, attrs=(1,)), attrs=((b, 1, 1),))
        others = apply("logical_and", places(held, 1) >= k, apply("ne", places(held, 1), best))
        widest = reduced("reduce_max", where(others, _column(size, best), 0.0), (1,), True)
        corner, far = _at(size, k, k), _at(size, best, best)
        plain = apply("logical_or", corner >= top * ALPHA, corner * widest >= top * top * ALPHA)
        one = apply("logical_or", plain, far >= widest * ALPHA)
        p = where(plain, k, best)
        turned = where(one, k, k + 1)
        moved = _exchange(_exchange(a, 1, turned, p), 2, turned, p)
        c1, c2 = _column(moved, k), _column(moved, k + 1)
        d11, d21, d22 = _at(moved, k, k), _at(moved, k + 1, k), _at(moved, k + 1, k + 1)
        d12 = conj(d21) if hermitian else d21
        none = d11 == 0
        single = c1 / where(none, 1.0, d11)
        det = d11 * d22 - d21 * d12
        det = where(one, 1.0, det)
        l1, l2 = (c1 * d22 - c2 * d21) / det, (c2 * d11 - c1 * d12) / det
        after = places(held, 1) > k + 1
        l1, l2 = where(one, where(below, single, 0.0), where(after, l1, 0.0)), where(one, 0.0, where(after, l2, 0.0))
        r1, r2 = _turned(c1, hermitian), _turned(c2, hermitian)
        made = moved - l1 * r1 - l2 * r2
        if hermitian and a.dtype.kind == "c":  # its diagonal stays real
            made = where(places(made, 1) == places(made, 2), cast(apply("real", made), a.dtype), made)
        is_k, is_next = places(held, 1) == k, places(held, 1) == k + 1
        first_column = where(is_k, d11, where(apply("logical_and", is_next, apply("logical_not", one)), d21, l1))
        chosen = where(one, p + 1, -(p + 1))
        emitted = where(second, held, first_column)
        name = where(second, pivot, chosen)
        begins = apply("logical_and", apply("logical_not", second), apply("logical_not", one))
        outs = apply("reshape", emitted, attrs=((b, n),)), apply("reshape", name, attrs=((b,),))
        return where(second, a, made), where(is_next, d22, l2), begins, chosen, *outs

    zero = apply("broadcast", scalar(0, a.dtype), attrs=((b, n, 1),))
    no = apply("broadcast", scalar(False, dtypes.bool_), attrs=((b, 1, 1),))
    number = apply("broadcast", scalar(0, dtypes.i64), attrs=((b, 1, 1),))
    *_, columns, pivots = loop(step, (), (a, zero, no, number), n)
    return apply("transpose", columns, attrs=((1, 2, 0),)), cast(apply("transpose", pivots, attrs=((1, 0),)), dtypes.i32)


@composite
def _solve(ld: Tensor, pivots: Tensor, x: Tensor, hermitian: bool) -> Tensor:
    b, n, _ = ld.shape
    pivots = apply("reshape", cast(pivots, dtypes.i64), attrs=((b, n, 1),))

    def forward(ld: Tensor, pivots: Tensor, x: Tensor, second: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        p = pick(pivots, 1, k)
        pair = apply("logical_and", p < 0, apply("logical_not", second))
        row = where(pair, k + 1, k)
        x = where(second, x, _exchange(x, 1, row, apply("abs", p) - 1))
        low = pick(ld, 2, k)
        low = where(places(low, 1) > row, low, 0.0)
        return x - low * pick(x, 1, k), pair, apply("reshape", pair, attrs=((b,),))

    no = apply("broadcast", scalar(False, dtypes.bool_), attrs=((b, 1, 1),))
    x, _, pairs = loop(forward, (ld, pivots), (x, no), n)
    begins = apply("transpose", pairs, attrs=((1, 0),))
    begins = apply("reshape", begins, attrs=((b, n, 1),))
    ends = apply("pad", begins, scalar(False, dtypes.bool_), attrs=((0, 1, 0), (0, 0, 0), (0, 0, 0)))
    ends = apply("slice", ends, attrs=((0, 0, 0), (b, n, 1), (1, 1, 1)))
    d = reduced("reduce_sum", where(places(ld, 1) == places(ld, 2), ld, 0.0), (1,), True)
    d = apply("transpose", d, attrs=((0, 2, 1),))
    under = reduced("reduce_sum", where(apply("eq", places(ld, 1), places(ld, 2) + 1), ld, 0.0), (1,), True)
    under = apply("transpose", under, attrs=((0, 2, 1),))  # d21 at its first row

    def moved(t: Tensor, by: int) -> Tensor:
        """t[i + by] at row i, 0 beyond the ends."""
        m = t.shape[2]
        low, high = (max(-by, 0), max(by, 0))
        wide = apply("pad", t, scalar(0, t.dtype), attrs=((0, low, 0), (0, high, 0), (0, 0, 0)))
        return apply("slice", wide, attrs=((0, high, 0), (b, n + high, m), (1, 1, 1)))

    over = conj(under) if hermitian else under
    up, down = moved(over, -1), moved(under, -1)
    single = x / where(apply("logical_or", begins, ends), 1.0, d)
    det = d * moved(d, 1) - under * over
    of_first = (moved(d, 1) * x - over * moved(x, 1)) / where(begins, det, 1.0)
    det = moved(d, -1) * d - up * down
    of_second = (moved(d, -1) * x - down * moved(x, -1)) / where(ends, det, 1.0)
    x = where(begins, of_first, where(ends, of_second, single))

    def back(ld: Tensor, pivots: Tensor, begins: Tensor, x: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        pair, p = pick(begins, 1, k), pick(pivots, 1, k)
        row = where(pair, k + 1, k)
        low = pick(ld, 2, k)
        low = where(places(low, 1) > row, low, 0.0)
        x = where(places(x, 1) == k, x - matmul(_turned(low, hermitian), x), x)
        changes = apply("logical_or", pair, p > 0)
        return (where(changes, _exchange(x, 1, row, apply("abs", p) - 1), x),)

    return loop(back, (ld, pivots, begins), (x,), n, True)[0]


def _factored(name: str, A: Tensor, hermitian: bool, checked: bool) -> LDLInfo:
    a = check_matrices(name, A, True)
    lead, n = tuple(a.shape[:-2]), a.shape[-1]
    if not a.numel():
        return LDLInfo(a.clone(), a.new_zeros((*lead, n), dtype=dtypes.i32), a.new_zeros(lead, dtype=dtypes.i32))
    x = flat(a.detach())
    low = x.tril(-1)
    diagonal = x.diagonal(0, -2, -1)
    if hermitian and a.dtype.kind == "c":
        diagonal = cast(diagonal.real, a.dtype)
    ld, pivots = _factor(low + diagonal.diag_embed() + _turned(low, hermitian), hermitian)
    zero = (ld.diagonal(0, -2, -1) == 0).logical_and(pivots > 0)
    if checked:
        ld = required(ld, lambda: zero.logical_not(), f"{name}: a block of D is zero, and ldl_solve would divide by it.")
    return LDLInfo(ld.reshape((*lead, n, n)), pivots.reshape((*lead, n)), first(zero).reshape(lead))


@full
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: tuple | None = None) -> LDLInfo:
    """(LD, pivots, info): A = L D L^T (with `hermitian` L D L^H) in LAPACK's compact form; which block of D is zero, from 1, or 0.

    Only the lower triangle of A is read. D has blocks of one or two rows: a pivot below 0 stands twice, and says that there are two.
    check_errors: LinAlgError where a block is zero. Without gradients.

        >>> ingot.linalg.ldl_factor_ex(ingot.tensor([[0.0, 1.0], [1.0, 0.0]])).pivots
        tensor([-2, -2], dtype=ingot.int32)
    """
    return emit_out(_factored("linalg.ldl_factor_ex", A, bool(hermitian), check_errors), out)


@full
def ldl_factor(A: Tensor, *, hermitian: bool = False, out: tuple | None = None) -> LDL:
    """(LD, pivots) of `ldl_factor_ex`: what `ldl_solve` takes. LinAlgError where a block of D is zero.

    >>> ingot.linalg.ldl_factor(ingot.tensor([[4.0, 2.0], [2.0, 3.0]])).LD
    tensor([[4.0000, 0.0000],
            [0.5000, 2.0000]])
    """
    found = _factored("linalg.ldl_factor", A, bool(hermitian), True)
    return emit_out(LDL(found.LD, found.pivots), out)


@full
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """X with A X = B from the factors of A by `ldl_factor`. Batches broadcast. Without gradients. RuntimeError for other shapes and dtypes.

    >>> ingot.linalg.ldl_solve(*ingot.linalg.ldl_factor(ingot.tensor([[0.0, 1.0], [1.0, 0.0]])), ingot.tensor([[1.0], [2.0]]))
    tensor([[2.],
            [1.]])
    """
    ld, b = check_matrices("linalg.ldl_solve", LD, True, "LD"), check_matrices("linalg.ldl_solve", B, argument="B")
    check_tensor("linalg.ldl_solve", pivots, "pivots", 2)
    if pivots.dtype.kind not in "iu":
        raise RuntimeError(f"torch.linalg.ldl_solve: Expected pivots to be integers. Got {pivots.dtype}")
    if tuple(pivots.shape) != tuple(ld.shape[:-1]):
        raise ShapeError(f"linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got {list(pivots.shape)}")
    if ld.dtype is not b.dtype:
        raise RuntimeError(f"linalg.ldl_solve: Expected LD and B to have the same dtype, but found {ld.dtype} and {b.dtype}")
    n = ld.shape[-1]
    if b.shape[-2] != n:
        raise ShapeError(f"linalg.ldl_solve: Incompatible shapes of LD and B for AX = B ({list(ld.shape)} and {list(b.shape)})")
    lead = broadcast_shapes(tuple(ld.shape[:-2]), tuple(b.shape[:-2]))
    shape = (*lead, *b.shape[-2:])
    b = b.expand(*shape)
    if not b.numel():
        return emit_out(b.clone(), out)
    f, p = flat(ld.detach().expand(*lead, n, n)), pivots.expand(*lead, n).reshape((-1, n))
    return emit_out(_solve(f, p, flat(b.detach()), bool(hermitian)).reshape(shape), out)
