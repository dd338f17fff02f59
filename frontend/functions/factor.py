"""Matrix decompositions with their derivatives, and the pseudoinverse. `ingot.linalg` gives them torch's names.

A matrix that is not positive definite, or not finite, is a LinAlgError, in a compiled function when it is called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ingot
from ingot._tensor.autocast import full
from ingot.autograd.function import Function
from ingot.functions import matrix_scans
from ingot.functions.common import Tensor, cast_out, emit_out
from ingot.functions.matrices import check_matrices, conj, flat, mH, real, required
from ingot.functions.systems import Triangular

__all__ = ["cholesky", "pinverse", "qr", "svd"]


class QR(NamedTuple):
    """What `linalg.qr` returns."""

    Q: Tensor
    R: Tensor


class Eigh(NamedTuple):
    """What `linalg.eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """What `linalg.svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


# -- Cholesky ----------------------------------------------------------------------------------------------------------


class _Cholesky(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        low = matrix_scans.cholesky(a)
        ctx.save_for_backward(low)
        return low

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (low,) = ctx.saved_tensors
        phi = (mH(low) @ grad).tril()
        phi = phi - ingot.diag_embed(phi.diagonal(0, -2, -1)) * 0.5
        half = Triangular.apply(mH(low), mH(Triangular.apply(mH(low), mH(phi), True, False)), True, False)
        return (half + mH(half)) * 0.5


def cholesky_unchecked(A: Tensor) -> Tensor:
    """Lower L with A = L L^H, NaN from the first column where A is not positive definite."""
    a = check_matrices("linalg.cholesky", A, True)
    return _Cholesky.apply(flat(a)).reshape(tuple(a.shape))


@full
def cholesky_factor(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """Lower L with A = L L^H for symmetric (or Hermitian) positive definite A (only its lower triangle is read); with `upper`, L^H.

    LinAlgError where A is not positive definite.

        >>> ingot.linalg.cholesky(ingot.eye(2) * 4)
        tensor([[2., 0.],
                [0., 2.]])
    """
    low = cholesky_unchecked(A)
    good = low.detach()
    indefinite = "linalg.cholesky: The factorization could not be completed because the input is not positive-definite."
    low = required(low, lambda: good == good, indefinite)
    return emit_out(mH(low) if upper else low, out)


@full
def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """`ingot.linalg.cholesky`, with `upper` by position."""
    return cast_out(cholesky_factor(input, upper=upper), out)


# -- QR ----------------------------------------------------------------------------------------------------------------


class _QR(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        q, r = matrix_scans.qr(a, min(a.shape[1:]))
        ctx.save_for_backward(a, q, r)
        return q, r

    @staticmethod
    def backward(ctx: Any, by_q: Tensor, by_r: Tensor) -> Any:  # type: ignore[override]
        a, q, r = ctx.saved_tensors
        m, n = a.shape[1:]
        rest = None
        if m < n:  # A = [X Y], R = [U V]
            u, by_u, by_v = r[:, :, :m], by_r[:, :, :m], by_r[:, :, m:]
            by_q = by_q + a[:, :, m:] @ mH(by_v)
            rest, r, by_r = q @ by_v, u, by_u
        inner = r @ mH(by_r) - mH(by_q) @ q
        low = inner.tril(-1)
        symmetric = low + mH(low) + ingot.diag_embed(real(inner.diagonal(0, -2, -1)))
        by_a = mH(Triangular.apply(r, mH(by_q + q @ symmetric), True, False))
        return by_a if rest is None else ingot.cat([by_a, rest], 2)


@full
def qr_factor(A: Tensor, mode: str = "reduced", *, out: tuple | None = None) -> QR:
    """(Q, R) with A = Q R: Q orthonormal columns, R upper triangular. mode: reduced, complete (square Q), r (an empty Q).

    Gradients flow in mode "reduced", and "complete" of matrices with no more rows than columns. RuntimeError for another mode.

        >>> ingot.linalg.qr(ingot.eye(3)).R
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    a = check_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    lead, (m, n) = tuple(a.shape[:-2]), a.shape[-2:]
    if mode == "complete" and m > n:
        q, r = matrix_scans.qr(flat(a.detach()), m)
    else:
        q, r = _QR.apply(flat(a))
    q, r = q.reshape((*lead, *q.shape[1:])), r.reshape((*lead, *r.shape[1:]))
    return emit_out(QR(a.new_empty(0), r.detach()) if mode == "r" else QR(q, r), out)


@full
def qr(input: Tensor, some: bool = True, *, out: tuple | None = None) -> QR:
    """`ingot.linalg.qr`, of mode "reduced" or (not `some`) "complete"."""
    return qr_factor(input, "reduced" if some else "complete", out=out)


# -- eigenvalues, singular values --------------------------------------------------------------------------------------


def _gaps(values: Tensor) -> Tensor:
    """values[j] - values[i], with ones on the diagonal."""
    gap = values.unsqueeze(-2) - values.unsqueeze(-1)
    return gap + ingot.eye(values.shape[-1], dtype=values.dtype)


def _finite(name: str, a: Tensor) -> Tensor:
    return required(a, lambda: a.detach().isfinite(), f"{name}: the input matrix contained non-finite values.")


class _Eigh(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        n = a.shape[-1]
        shift = a.abs().sum(-1).amax(-1).reshape((-1, 1, 1)) if n else real(a.new_zeros(a.shape[0], 1, 1))
        _, v = matrix_scans.rotations(a + shift * ingot.eye(n, dtype=a.dtype))  # no eigenvalue is negative: they are the singular ones
        values = real((conj(v) * (a @ v)).sum(1))
        values, order = values.sort(-1)
        v = v.gather(2, order.unsqueeze(1).expand(*v.shape))
        ctx.save_for_backward(values, v)
        return values, v

    @staticmethod
    def backward(ctx: Any, by_values: Tensor, by_vectors: Tensor) -> Any:  # type: ignore[override]
        values, v = ctx.saved_tensors
        inner = mH(v) @ by_vectors
        inner = (inner - mH(inner)) * 0.5  # how orthonormal vectors can turn
        eye = ingot.eye(values.shape[-1], dtype=ingot.bool)
        middle = ingot.where(eye, ingot.diag_embed(by_values), ingot.where(inner == 0, 0.0, inner / _gaps(values)))
        return v @ middle @ mH(v)


@full
def eigh(A: Tensor, UPLO: str = "L", *, out: tuple | None = None) -> Eigh:
    """(eigenvalues, eigenvectors) of symmetric or Hermitian matrices, in rising order; eigenvectors are columns, each up to its sign or
    phase. One triangle is read (`UPLO`). LinAlgError for infinities and NaN.

        >>> ingot.linalg.eigh(ingot.eye(2)).eigenvalues
        tensor([1., 1.])
    """
    a = check_matrices("linalg.eigh", A, True)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    half = (a.detach().tril(-1) if UPLO.upper() == "L" else a.detach().triu(1))
    whole = half + mH(half) + ingot.diag_embed(real(a.detach().diagonal(0, -2, -1)))
    whole = _finite("linalg.eigh", whole)
    values, vectors = _Eigh.apply(flat(whole + (a - a.detach())))  # the gradient is that of the whole matrix, as in torch
    return emit_out(Eigh(values.reshape(tuple(a.shape[:-1])), vectors.reshape(tuple(a.shape))), out)


@full
def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of `eigh`."""
    return emit_out(eigh(A, UPLO).eigenvalues, out)


def _thin(a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, V of (b, m, n) with m >= n."""
    m, n = a.shape[1:]
    if n and 2 * m >= 3 * n:  # of R, which has fewer rows to turn
        q, r = matrix_scans.qr(a, m if full else n)
        u, s, v = _thin(r[:, :n], False)
        first = q[:, :, :n] @ u
        return (ingot.cat([first, q[:, :, n:]], 2) if full else first), s, v
    av, v = matrix_scans.rotations(a)
    s, order = real(conj(av) * av).sum(1).sqrt().sort(-1, descending=True)
    av, v = (x.gather(2, order.unsqueeze(1).expand(*x.shape)) for x in (av, v))
    u, r = matrix_scans.qr(av, m if full else n)
    sign = ingot.where(real(r.diagonal(0, -2, -1)) < 0, -1.0, 1.0).to(s.dtype)
    if full:
        sign = ingot.cat([sign, sign.new_ones(a.shape[0], m - n)], 1)
    return u * sign.unsqueeze(1), s, v


class _SVD(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        if a.shape[1] >= a.shape[2]:
            u, s, v = _thin(a, False)
        else:
            v, s, u = _thin(mH(a), False)
        vh = mH(v)
        ctx.save_for_backward(u, s, vh)  # the results themselves: second derivatives go through them
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, by_u: Tensor, by_s: Tensor, by_vh: Tensor) -> Any:  # type: ignore[override]
        u, s, vh = ctx.saved_tensors
        v, by_v, gaps = mH(vh), mH(by_vh), _gaps(s * s)
        row, column = s.unsqueeze(-2), s.unsqueeze(-1)
        eye = ingot.eye(s.shape[-1], dtype=ingot.bool)

        def skew(x: Tensor) -> Tensor:
            d = x - mH(x)
            return ingot.where((d == 0).logical_or(eye), 0.0, d / gaps)

        left, right = mH(u) @ by_u, mH(v) @ by_v
        middle = skew(left) * row + column * skew(right) + ingot.diag_embed(by_s)
        if u.dtype.kind == "c":  # how the phases of a pair of vectors turn against each other
            turn = left.diagonal(0, -2, -1).imag
            middle = middle + ingot.diag_embed(ingot.complex(turn * 0.0, ingot.where(turn == 0, 0.0, turn / s)))
        out = u @ middle @ vh
        if u.shape[1] > u.shape[2]:
            rest = by_u - u @ left
            out = out + ingot.where(rest == 0, 0.0, rest / row) @ vh
        if v.shape[1] > v.shape[2]:
            rest = by_v - v @ right
            out = out + u @ mH(ingot.where(rest == 0, 0.0, rest / row))
        return out


@full
def svd_factor(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: tuple | None = None) -> SVD:
    """(U, S, Vh) with A = U diag(S) Vh: U and Vh^H have orthonormal columns, S falls. full_matrices: square U and Vh.
    LinAlgError for infinities and NaN.

    Gradients flow by U, S and Vh of the reduced form; by S alone in the full form of matrices that are not square.

        >>> ingot.linalg.svd(ingot.eye(2)).S
        tensor([1., 1.])
    """
    a = check_matrices("linalg.svd", A)
    a = _finite("linalg.svd", a)
    lead, (m, n) = tuple(a.shape[:-2]), a.shape[-2:]
    u, s, vh = _SVD.apply(flat(a))
    if full_matrices and m != n:
        x = flat(a.detach())
        u, _, v = _thin(x, True) if m > n else reversed(_thin(mH(x), True))  # type: ignore[assignment]
        vh = mH(v)
    return emit_out(SVD(*(t.reshape((*lead, *t.shape[1:])) for t in (u, s, vh))), out)


@full
def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of matrices, falling.

    >>> ingot.linalg.svdvals(ingot.eye(2))
    tensor([1., 1.])
    """
    return emit_out(svd_factor(A, False).S, out)


class LegacySVD(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    V: Tensor


@full
def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: tuple | None = None) -> LegacySVD:
    """(U, S, V) with input = U diag(S) V^H, reduced if `some`; `ingot.linalg.svd` gives V^H. Without `compute_uv`, zeros for U and V."""
    u, s, vh = svd_factor(input, not some)
    if not compute_uv:
        m, n = input.shape[-2:]
        u, vh = (input.new_zeros(*input.shape[:-2], d, d) for d in (m, n))
    return emit_out(LegacySVD(u, s, mH(vh)), out)


class _Pinv(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Tensor:
        if hermitian:
            s, u = eigh(a)
            v, size = u, s.abs()
        else:
            u, s, vh = svd_factor(a, False)
            v, size = mH(vh), s
        keep = size > tolerance(a, size, atol, rtol)
        scale = ingot.where(keep, 1 / ingot.where(keep, s, 1.0), 0.0)
        p = (v * scale.unsqueeze(-2)) @ mH(u)
        ctx.save_for_backward(a, p)
        return p

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        a, p = ctx.saved_tensors
        t, g = mH(p), mH(grad)
        outer, inner = g @ p, p @ g
        by_a = (outer - a @ (p @ outer)) @ t + t @ (inner - (inner @ p) @ a) - t @ grad @ t
        return by_a, None, None, None


def pinv(
    A: Tensor, rcond: float | Tensor | None = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The pseudoinverse: singular values up to max(atol, rtol * the largest) count as zero (rtol: eps * the longer side).

    hermitian: the matrices are symmetric or Hermitian, and only their lower triangles are read.

        >>> ingot.linalg.pinv(ingot.ones(2, 3)).shape
        ingot.Size([3, 2])
    """
    a = check_matrices("linalg.pinv", A, bool(hermitian))
    if not a.numel():
        return cast_out(mH(a) * 1, out)
    return cast_out(_Pinv.apply(a, atol, rtol if rtol is not None else rcond, bool(hermitian)), out)


def tolerance(a: Tensor, s: Tensor, atol: Any, rtol: Any) -> Tensor:
    """The singular value up to which one counts as zero."""
    if rtol is None:
        given = atol is not None and (isinstance(atol, Tensor) or atol > 0)
        rtol = 0.0 if given else ingot.finfo(s.dtype).eps * max(a.shape[-2:])
    rel = (rtol.unsqueeze(-1) if isinstance(rtol, Tensor) and rtol.ndim else rtol) * s.detach().amax(-1, keepdim=True)
    absolute = atol.unsqueeze(-1) if isinstance(atol, Tensor) and atol.ndim else (0.0 if atol is None else atol)
    return ingot.maximum(rel, absolute if isinstance(absolute, Tensor) else ingot.full_like(rel, absolute))


@full
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`ingot.linalg.pinv`."""
    return pinv(input, rcond)
