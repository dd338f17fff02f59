"""Products of Householder's reflections, as LAPACK's `geqrf` stores them."""

from __future__ import annotations

from typing import NamedTuple

from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot.functions import matrix_scans
from ingot.functions.common import ShapeError, Tensor, apply, cast, cast_out, check_tensor, dtypes, emit_out, scalar
from ingot.functions.matmul import matmul
from ingot.functions.matrices import check_matrices, conj, flat, mH
from ingot.functions.reduce import reduced

__all__ = ["geqrf", "orgqr", "ormqr"]


class Geqrf(NamedTuple):
    """The result of `geqrf`."""

    a: Tensor
    tau: Tensor


@composite
def _product(a: Tensor, tau: Tensor) -> Tensor:
    b, m, n = a.shape
    count = tau.shape[1]
    eye = cast(apply("eq", *(apply("iota", attrs=(dtypes.i64, (b, m, n), axis)) for axis in (1, 2))), a.dtype)

    def places(t: Tensor) -> Tensor:
        return apply("iota", attrs=(dtypes.i64, tuple(t.shape), t.ndim - 1))

    def reflect(a: Tensor, tau: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        masked = (apply("select", places(t) == k, t, scalar(0, t.dtype)) for t in (a, tau))
        column, factor = (reduced("reduce_sum", t, (t.ndim - 1,), True) for t in masked)
        place = apply("iota", attrs=(dtypes.i64, (b, m, 1), 1))
        v = apply("select", place > k, column, cast(place == k, a.dtype))
        across = matmul(mH(v), q)
        return (q - v * across * apply("reshape", factor, attrs=((b, 1, 1),)),)

    return matrix_scans.loop(reflect, (a, tau), (eye,), count, True)[0] if count else eye


@full
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first columns of the product of the reflections I - tau[k] v v^H, v below the diagonal of column k of A and 1 on it.

    RuntimeError for more columns than rows, or more factors than columns.

        >>> ingot.linalg.householder_product(ingot.eye(2), ingot.zeros(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    a = check_matrices("linalg.householder_product", A)
    check_tensor("linalg.householder_product", tau, "tau", 2)
    m, n = a.shape[-2:]
    if n > m:
        raise ShapeError("linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if tuple(tau.shape[:-1]) != tuple(a.shape[:-2]) or not tau.ndim or tau.shape[-1] > n:
        raise ShapeError(
            f"linalg.householder_product: Expected tau of shape {list(a.shape[:-2])} and at most {n} factors, but got {list(tau.shape)}"
        )
    if tau.dtype is not a.dtype:
        raise RuntimeError(f"linalg.householder_product: tau dtype {tau.dtype} does not match input dtype {a.dtype}")
    x = flat(a)
    q = _product(x, tau.reshape((x.shape[0], tau.shape[-1]))) if a.numel() else a.clone()
    return cast_out(q.reshape(tuple(a.shape)), out)


@full
def orgqr(input: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`ingot.linalg.householder_product`."""
    return householder_product(input, tau, out=out)


@full
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """Q @ other, or other @ Q unless `left`, Q (square) or its transpose the product of the reflections that `geqrf` stored.

    RuntimeError where shapes do not fit.

    >>> ingot.ormqr(*ingot.geqrf(ingot.eye(2)), ingot.ones(2, 1)).shape
    ingot.Size([2, 1])
    """
    a = check_matrices("ormqr", input)
    check_tensor("ormqr", other, "other", 3)
    m, n = a.shape[-2:]
    size = other.shape[-2 if left else -1] if other.ndim > 1 else -1
    if size != m:
        raise ShapeError(f"ormqr: input {list(a.shape)} and other {list(other.shape)} do not fit: the product is {m} x {m}")
    if n < m:
        zeros = apply("broadcast", scalar(0, a.dtype), attrs=((*a.shape[:-1], m - n),))
        a = apply("concatenate", a, zeros, attrs=(a.ndim - 1,))
    q = householder_product(a[..., :m], tau)
    q = mH(q) if transpose else q
    return emit_out(matmul(q, other) if left else matmul(other, q), out)


@composite
def _geqrf(a: Tensor) -> tuple[Tensor, Tensor]:
    b, m, n = a.shape
    count = min(m, n)

    def reflect(a: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        column = apply("iota", attrs=(dtypes.i64, (b, m, n), 2))
        x = reduced("reduce_sum", apply("select", column == k, a, scalar(0, a.dtype)), (2,), True)
        v, tau = matrix_scans.reflector(x, k)
        a = a - v * matmul(mH(v), a) * conj(tau)
        return a, apply("reshape", v, attrs=((b, m),)), apply("reshape", tau, attrs=((b,),))

    if not count:
        return apply("reshape", a, attrs=((b, m, n),)), apply("broadcast", scalar(0, a.dtype), attrs=((b, 0),))
    r, vectors, taus = matrix_scans.loop(reflect, (), (a,), count)
    stored = apply("transpose", vectors, attrs=((1, 2, 0),))
    if n > count:
        stored = apply("concatenate", stored, apply("broadcast", scalar(0, a.dtype), attrs=((b, m, n - count),)), attrs=(2,))
    low = apply("gt", *(apply("iota", attrs=(dtypes.i64, (b, m, n), axis)) for axis in (1, 2)))
    return apply("select", low, stored, r), apply("transpose", taus, attrs=((1, 0),))


@full
def geqrf(input: Tensor, *, out: tuple | None = None) -> Geqrf:
    """(a, tau): R in the upper triangle of `a`, below it the reflections whose product is Q, as LAPACK stores them. Without gradients.

    >>> ingot.geqrf(ingot.tensor([[3.0], [4.0]]))
    Geqrf(a=tensor([[-5.0000],
            [ 0.5000]]), tau=tensor([1.6000]))
    """
    a = check_matrices("geqrf", input)
    packed, tau = _geqrf(flat(a.detach()))
    return cast_out(Geqrf(packed.reshape(tuple(a.shape)), tau.reshape((*a.shape[:-2], tau.shape[-1]))), out)
