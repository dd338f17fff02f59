"""Products of Householder's reflections, as LAPACK's `geqrf` stores them."""

from __future__ import annotations

from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot.functions import matrix_scans
from ingot.functions.common import ShapeError, Tensor, apply, cast, check_tensor, dtypes, emit_out, scalar
from ingot.functions.matmul import matmul
from ingot.functions.matrices import check_matrices, flat
from ingot.functions.reduce import reduced

__all__ = ["orgqr"]


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
        across = matmul(apply("transpose", v, attrs=((0, 2, 1),)), q)
        return (q - v * across * apply("reshape", factor, attrs=((b, 1, 1),)),)

    return matrix_scans.loop(reflect, (a, tau), (eye,), count, True)[0] if count else eye


@full
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first columns of the product of the reflections I - tau[k] v v^T, v below the diagonal of column k of A and 1 on it.

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
    return emit_out(q.reshape(tuple(a.shape)), out)


@full
def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """`ingot.linalg.householder_product`."""
    return householder_product(input, tau)
