"""Forms of matrices in LAPACK's storage, as scans: Hessenberg's, tridiagonal, QR with pivoted columns. The reflections that lead there
lie below what is left, their scales beside it.

All work on batches (b, n, m) of real or complex numbers and have no derivatives. Source: Golub and Van Loan, Matrix Computations, 5.4,
7.4 and 8.3.
"""

from __future__ import annotations

from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.functions.common import apply, dtypes, scalar
from ingot.functions.matmul import matmul
from ingot.functions.matrices import conj, real
from ingot.functions.matrix_scans import loop, pick, places, reflector, where
from ingot.functions.reduce import reduced

__all__: list[str] = []


def _adjoint(x: Tensor) -> Tensor:
    return conj(apply("transpose", x, attrs=((0, 2, 1),)))


def _row(x: Tensor) -> Tensor:
    return apply("reshape", x, attrs=((x.shape[0], x.shape[1]),))


@composite
def gehrd(a: Tensor) -> tuple[Tensor, Tensor]:
    """H on and above the first subdiagonal, the reflections below it; tau (b, n - 1)."""
    b, n, _ = a.shape

    def reduce(a: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        v, tau = reflector(pick(a, 2, k), k + 1)
        a = a - v * matmul(_adjoint(v), a) * conj(tau)
        return a - matmul(a, v) * _adjoint(v) * tau, _row(v), apply("reshape", tau, attrs=((b,),))

    if n < 2:
        return apply("reshape", a, attrs=((b, n, n),)), apply("broadcast", scalar(0, a.dtype), attrs=((b, 0),))
    h, vectors, taus = loop(reduce, (), (a,), n - 1)
    below = apply("pad", apply("transpose", vectors, attrs=((1, 2, 0),)), scalar(0, a.dtype), attrs=((0, 0, 0), (0, 0, 1), (0, 0, 0)))
    return where(places(h, 1) > places(h, 2) + 1, below, h), apply("transpose", taus, attrs=((1, 0),))


@composite
def geqp3(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R with the reflections below its diagonal, the places (b, n) of the columns, tau: each step takes the longest column that is
    left."""
    b, m, n = a.shape
    perm = apply("iota", attrs=(dtypes.i64, (b, n), 1))
    if not m or not n:
        return apply("reshape", a, attrs=((b, m, n),)), perm, apply("broadcast", scalar(0, a.dtype), attrs=((b, 0),))

    def reflect(a: Tensor, perm: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        at = places(perm, 1)
        rest = where(places(a, 1) >= k, real(a * conj(a)), 0.0)
        size = where(at >= k, apply("reshape", reduced("reduce_sum", rest, (1,), True), attrs=((b, n),)), -1.0)
        p = apply("reshape", apply("argmax", size, attrs=(1,)), attrs=((b, 1),))
        order = where(at == k, p, where(at == p, k, at))
        wide = apply("broadcast", apply("reshape", order, attrs=((b, 1, n),)), attrs=((b, m, n),))
        a, perm = apply("gather", a, wide, attrs=(2,)), apply("gather", perm, order, attrs=(1,))
        v, tau = reflector(pick(a, 2, k), k)
        right = places(a, 2) >= k
        turned = a - v * matmul(_adjoint(v), a) * conj(tau)
        below = apply("logical_and", places(a, 2) == k, places(a, 1) > k)
        a = where(below, v, where(right, turned, a))
        return a, perm, apply("reshape", tau, attrs=((b,),))

    a, perm, taus = loop(reflect, (), (a, perm), min(m, n))
    return a, perm, apply("transpose", taus, attrs=((1, 0),))
