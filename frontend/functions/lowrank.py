"""A few singular values or eigenvalues of large matrices, by products with narrow ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ingot
from ingot._tensor.autocast import full
from ingot.functions.common import ShapeError, Tensor, check_tensor
from ingot.functions.factor import cholesky_unchecked, eigh, qr_factor, svd_factor
from ingot.functions.matrices import conj, mH
from ingot.functions.norm import matrix_norm, vector_norm
from ingot.functions.systems import solve_triangular

__all__ = ["lobpcg", "pca_lowrank", "svd_lowrank"]


class LowRank(NamedTuple):
    """What `svd_lowrank` and `pca_lowrank` return."""

    U: Tensor
    S: Tensor
    V: Tensor


def _range(a: Tensor, q: int, niter: int, mean: Tensor | None) -> Tensor:
    """Orthonormal columns that span nearly what the largest singular values of A - M do: Halko's algorithm 4.4."""
    m, n = a.shape[-2:]
    x = ingot.randn(n, q, dtype=a.dtype)

    def times(x: Tensor) -> Tensor:
        return a @ x if mean is None else a @ x - mean @ x

    def back(x: Tensor) -> Tensor:
        return mH(a) @ x if mean is None else mH(a) @ x - mH(mean) @ x

    found = qr_factor(times(x)).Q
    for _ in range(niter):
        found = qr_factor(back(found)).Q
        found = qr_factor(times(found)).Q
    return found


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> LowRank:
    """(U, S, V) of the `q` largest singular values, nearly: A - M = U diag(S) V^H, by products with random numbers.

    A: (..., m, n). niter: how often the subspace is refined. ValueError for q below 0 or above a side of A.
    Source: Halko, Martinsson and Tropp, Finding structure with randomness (2009), algorithms 4.4 and 5.1.

        >>> ingot.svd_lowrank(ingot.ones(8, 5), q=2).S.shape
        ingot.Size([2])
    """
    check_tensor("svd_lowrank", A, "A")
    a, mean = A, M
    wide = a.shape[-2] < a.shape[-1]
    if wide:
        a, mean = mH(a), None if mean is None else mH(mean)
    if mean is not None:
        mean = mean.expand(*a.shape)
    q = 6 if q is None else q
    if not 0 <= q <= min(a.shape[-2:]):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(a.shape[-2:])}")
    basis = _range(a, q, 2 if niter is None else niter, mean)
    b = mH(basis) @ a if mean is None else mH(basis) @ (a - mean)
    u, s, vh = svd_factor(b, False)
    u, v = basis @ u, mH(vh)
    return LowRank(v, s, u) if wide else LowRank(u, s, v)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> LowRank:
    """(U, S, V) of the `q` first principal components of the rows of A, nearly; V's columns are their directions.

    q: 6 or less by default. center: the mean of the rows is taken off. ValueError for q below 0 or above a side, for niter below 0.

        >>> ingot.pca_lowrank(ingot.ones(8, 5), q=2).V.shape
        ingot.Size([5, 2])
    """
    check_tensor("pca_lowrank", A, "A")
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


def _orthonormal(s: Tensor, b: Callable[[Tensor], Tensor]) -> Tensor:
    """The columns of S made orthonormal by B, in two rounds of Cholesky's QR on a basis that is orthonormal already."""
    s = qr_factor(s).Q
    for _ in range(2):
        low = cholesky_unchecked(mH(s) @ b(s))
        s = mH(solve_triangular(low, mH(s), upper=False))
    return s


@full
def lobpcg(
    A: Tensor, k: int | None = None, B: Tensor | None = None, X: Tensor | None = None, n: int | None = None, iK: Tensor | None = None,
    niter: int | None = None, tol: float | None = None, largest: bool | None = None, method: str | None = None, tracker: Any = None,
    ortho_iparams: Any = None, ortho_fparams: Any = None, ortho_bparams: Any = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(E, X): the `k` largest (or smallest) eigenvalues of symmetric positive definite A x = e B x, and their vectors as columns.

    A, B: (..., m, m), dense or products of sparse ones. X: (m, n) to start from, random by default; n columns are iterated (k by default).
    iK: a preconditioner, nearly A^-1. niter: at most so many steps (1000 by default); tol: of residuals, relative to |A| and |e|
    (eps**0.5). ValueError where m < 3 k, RuntimeError for other shapes. Gradients flow by the
    eigenvalues.
    Source: Knyazev, Toward the optimal preconditioned eigensolver (2001); the basis [X R P] is made orthonormal in every step.

        >>> E, X = ingot.lobpcg(ingot.diag(ingot.arange(1.0, 7.0)), k=1, niter=50)
        >>> E.round(decimals=3)
        tensor([6.])
    """
    check_tensor("lobpcg", A, "A")
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ShapeError(f"lobpcg: A must be batches of square matrices, got {list(A.shape)}")
    if method not in (None, "basic", "ortho"):
        raise ValueError(f"lobpcg: method must be 'basic' or 'ortho', got {method!r}")
    m = A.shape[-1]
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = (k if X is None else X.shape[-1]) if n is None else n
    if m < 3 * n:
        raise ValueError(f"LPBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the number of "
                         f"requested eigenpairs (={n})")  # fmt: skip
    up = True if largest is None else largest
    with ingot.no_grad():
        x = ingot.randn(*A.shape[:-2], m, n, dtype=A.dtype) if X is None else X[..., :n]
        vectors = _iterated(A.detach(), None if B is None else B.detach(), x.detach(), iK, 1000 if niter is None else niter, tol, up)
    values = _quotients(A, B, vectors)
    return values[..., :k], vectors[..., :k]


def _quotients(a: Tensor, b: Tensor | None, x: Tensor) -> Tensor:
    """x^H A x / x^H B x of each column."""
    over = (conj(x) * (a @ x)).sum(-2)
    under = (conj(x) * (x if b is None else b @ x)).sum(-2)
    return (over / under).real if over.is_complex() else over / under


def _iterated(a: Tensor, b: Tensor | None, x: Tensor, inverse: Tensor | None, niter: int, tol: float | None, largest: bool) -> Tensor:
    n = x.shape[-1]
    tol = ingot.finfo(x.dtype).eps ** 0.5 if tol is None else tol

    def by_b(s: Tensor) -> Tensor:
        return s if b is None else b @ s

    def best(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, turn = eigh(mH(s) @ (a @ s))
        if largest:
            values, turn = values.flip(-1), turn.flip(-1)
        return values[..., :n], s @ turn[..., :n], turn

    size = matrix_norm(a)
    values, x, _ = best(_orthonormal(x, by_b))
    step: Tensor | None = None
    for _ in range(niter):
        residual = a @ x - by_b(x) * values.unsqueeze(-2)
        error = vector_norm(residual, dim=-2)
        if bool((error <= tol * (size.unsqueeze(-1) + values.abs()) * vector_norm(x, dim=-2)).all()):
            break
        wanted = residual if inverse is None else inverse @ residual
        parts = [x, wanted] if step is None else [x, wanted, step]
        values, new, turn = best(_orthonormal(ingot.cat(parts, -1), by_b))
        step = new - x @ (mH(x) @ by_b(new))
        x = new
    return x
