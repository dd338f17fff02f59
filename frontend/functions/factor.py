"""Linear systems and matrix decompositions, with their derivatives. `ingot.linalg` gives them torch's names.

Checks that need values (a singular matrix, one that is not positive definite) are made outside of compiled functions; inside,
such a matrix gives infinities or NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ingot
from ingot.autograd.function import Function
from ingot.functions import decompose
from ingot.functions.common import (
    ShapeError,
    Tensor,
    broadcast_shapes,
    check_tensor,
    dtype_name,
    dtypes,
    emit_out,
)
from ingot.runtime.recorder import here

__all__ = ["LinAlgError", "cholesky", "det", "inverse", "logdet", "pinverse", "qr", "slogdet", "svd"]


class LinAlgError(RuntimeError):
    """A matrix that the operation is not defined for: singular, or not positive definite."""


class SLogDet(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


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


def matrices(name: str, a: Any, square: bool = False, argument: str = "A") -> Tensor:
    """`a`, if it is a batch of float32 or float64 matrices. RuntimeError in torch's words otherwise."""
    check_tensor(name, a, argument)
    if a.ndim < 2:
        raise ShapeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    if square and a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name}: {argument} must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices")
    if a.dtype not in (dtypes.f32, dtypes.f64):
        if a.dtype in dtypes.Half:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {dtype_name(a.dtype)}")
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtype_name(a.dtype)}")
    return a


def flat(a: Tensor) -> Tensor:
    """(b, m, n)."""
    n = 1
    for d in a.shape[:-2]:
        n *= d
    return a.reshape((n, *a.shape[-2:]))


def require(good: Callable[[], Tensor], message: str) -> None:
    """LinAlgError unless `good()` holds everywhere; not looked at while something is traced."""
    if not here.recorder.tracing:
        with ingot.no_grad():
            if not bool(good().all()):
                raise LinAlgError(message)


def _mT(x: Tensor) -> Tensor:
    return x.transpose(-2, -1)


# -- triangular systems, Cholesky --------------------------------------------------------------------------------------


class _Triangular(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, upper: bool, unit: bool) -> Tensor:
        x = decompose.triangular(a, b, upper, unit)
        ctx.save_for_backward(a, x)
        ctx.upper, ctx.unit = upper, unit
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        a, x = ctx.saved_tensors
        back = _Triangular.apply(_mT(a), grad, not ctx.upper, ctx.unit)
        by_a = -(back @ _mT(x))
        low = 1 if ctx.unit else 0
        return (by_a.triu(low) if ctx.upper else by_a.tril(-low)), back, None, None


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Tensor | None = None
) -> Tensor:
    """X with A X = B (or, not `left`, X A = B), A triangular: only its triangle is read. Batches broadcast.

    >>> ingot.linalg.solve_triangular(ingot.eye(2), ingot.ones(2, 1), upper=True)
    tensor([[1.],
            [1.]])
    """
    a, b = matrices("linalg.solve_triangular", A, True), matrices("linalg.solve_triangular", B, argument="B")
    if not left:
        return emit_out(_mT(solve_triangular(_mT(a), _mT(b), upper=not upper, unitriangular=unitriangular)), out)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"linalg.solve_triangular: Incompatible shapes of A and B for AX = B ({list(a.shape)} and {list(b.shape)})")
    lead = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    a, b = a.expand(*lead, *a.shape[-2:]), b.expand(*lead, *b.shape[-2:])
    return emit_out(_Triangular.apply(flat(a), flat(b), bool(upper), bool(unitriangular)).reshape(tuple(b.shape)), out)


class _Cholesky(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        low = decompose.cholesky(a)
        ctx.save_for_backward(low)
        return low

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (low,) = ctx.saved_tensors
        phi = (_mT(low) @ grad).tril()
        phi = phi - ingot.diag_embed(phi.diagonal(0, -2, -1)) * 0.5
        half = _Triangular.apply(_mT(low), _mT(_Triangular.apply(_mT(low), _mT(phi), True, False)), True, False)
        return (half + _mT(half)) * 0.5


def cholesky_factor(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """Lower L with A = L L^T for symmetric positive definite A (only its lower triangle is read); with `upper`, L^T.

    LinAlgError where A is not positive definite.

        >>> ingot.linalg.cholesky(ingot.eye(2) * 4)
        tensor([[2., 0.],
                [0., 2.]])
    """
    a = matrices("linalg.cholesky", A, True)
    low = _Cholesky.apply(flat(a))
    require(lambda: low == low, "linalg.cholesky: The factorization could not be completed because the input is not positive-definite.")
    low = low.reshape(tuple(a.shape))
    return emit_out(_mT(low) if upper else low, out)


def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """`ingot.linalg.cholesky`, with `upper` by position."""
    return cholesky_factor(input, upper=upper, out=out)


# -- general systems ---------------------------------------------------------------------------------------------------


def _factored_solve(f: Tensor, perm: Tensor, b: Tensor) -> Tensor:
    rows = b.gather(1, perm.unsqueeze(-1).expand(*b.shape))
    return decompose.triangular(f, decompose.triangular(f, rows, False, True), True, False)


class _Solve(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        f, perm, _ = decompose.lu(a)
        require(lambda: f.diagonal(0, -2, -1) != 0, "linalg.solve: The solver failed because the input matrix is singular.")
        x = _factored_solve(f, perm, b)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        a, x = ctx.saved_tensors
        back = _Solve.apply(_mT(a), grad)
        return -(back @ _mT(x)), back


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """X with A X = B (or, not `left`, X A = B) for square A; B a matrix, or a vector. Batches broadcast.

    LinAlgError where A is singular.

        >>> ingot.linalg.solve(ingot.eye(2) * 2, ingot.ones(2))
        tensor([0.5000, 0.5000])
    """
    a = matrices("linalg.solve", A, True)
    check_tensor("linalg.solve", B, "B", 2)
    if B.dtype is not a.dtype:
        raise RuntimeError(f"linalg.solve: Expected A and B to have the same dtype, but found A of type {a.dtype} and B of type {B.dtype}")
    vector = B.ndim == 1 or (B.ndim == a.ndim - 1 and tuple(B.shape) == tuple(a.shape[:-1]))
    b = B.unsqueeze(-1) if vector else matrices("linalg.solve", B, argument="B")
    if not left:
        if vector:
            raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False.")
        return emit_out(_mT(solve(_mT(a), _mT(b))), out)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({list(a.shape)} and {list(B.shape)})")
    lead = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    a, b = a.expand(*lead, *a.shape[-2:]), b.expand(*lead, *b.shape[-2:])
    x = _Solve.apply(flat(a), flat(b)).reshape(tuple(b.shape))
    return emit_out(x.squeeze(-1) if vector else x, out)


class _Inverse(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        f, perm, _ = decompose.lu(a)
        singular = "linalg.inv: The diagonal element is zero, the inversion could not be completed because the input matrix is singular."
        require(lambda: f.diagonal(0, -2, -1) != 0, singular)
        x = _factored_solve(f, perm, ingot.eye(a.shape[-1], dtype=a.dtype).expand(*a.shape))
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return -(_mT(x) @ grad @ _mT(x))


def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of square matrices. LinAlgError where one is singular.

    >>> ingot.linalg.inv(ingot.eye(2) * 2)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    a = matrices("linalg.inv", A, True)
    return emit_out(_Inverse.apply(flat(a)).reshape(tuple(a.shape)), out)


def inverse(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`ingot.linalg.inv`."""
    return inv(input, out=out)


def det(input: Tensor) -> Tensor:
    """The determinant of square matrices.

    >>> ingot.det(ingot.eye(2) * 3)
    tensor(9.)
    """
    a = matrices("linalg.det", input, True)
    f, _, sign = decompose.lu(flat(a))
    return (sign * f.diagonal(0, -2, -1).prod(-1)).reshape(tuple(a.shape[:-2]))


class _SLogDet(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        f, _, sign = decompose.lu(a)
        d = f.diagonal(0, -2, -1)
        sign = sign * d.sign().prod(-1)
        ctx.save_for_backward(a)
        return sign, d.abs().log().sum(-1)

    @staticmethod
    def backward(ctx: Any, by_sign: Tensor, grad: Tensor) -> Any:  # type: ignore[override]
        (a,) = ctx.saved_tensors
        return grad.unsqueeze(-1).unsqueeze(-1) * _mT(_Inverse.apply(a))


def slogdet(input: Tensor) -> SLogDet:
    """(sign, logabsdet): the determinant's sign and the logarithm of its magnitude, -infinity where it is zero.

    >>> ingot.slogdet(ingot.eye(2) * 3).logabsdet
    tensor(2.1972)
    """
    a = matrices("linalg.slogdet", input, True)
    sign, size = _SLogDet.apply(flat(a))
    return SLogDet(sign.reshape(tuple(a.shape[:-2])), size.reshape(tuple(a.shape[:-2])))


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN where that is negative."""
    sign, size = slogdet(matrices("logdet", input, True))
    return ingot.where(sign < 0, float("nan"), size)


# -- QR ----------------------------------------------------------------------------------------------------------------


class _QR(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        q, r = decompose.qr(a, min(a.shape[1:]))
        ctx.save_for_backward(a, q, r)
        return q, r

    @staticmethod
    def backward(ctx: Any, by_q: Tensor, by_r: Tensor) -> Any:  # type: ignore[override]
        a, q, r = ctx.saved_tensors
        m, n = a.shape[1:]
        rest = None
        if m < n:  # A = [X Y], R = [U V]
            u, by_u, by_v = r[:, :, :m], by_r[:, :, :m], by_r[:, :, m:]
            by_q = by_q + a[:, :, m:] @ _mT(by_v)
            rest, r, by_r = q @ by_v, u, by_u
        inner = r @ _mT(by_r) - _mT(by_q) @ q
        low = inner.tril(-1)
        symmetric = low + _mT(low) + ingot.diag_embed(inner.diagonal(0, -2, -1))
        by_a = _mT(_Triangular.apply(r, _mT(by_q + q @ symmetric), True, False))
        return by_a if rest is None else ingot.cat([by_a, rest], 2)


def qr_factor(A: Tensor, mode: str = "reduced", *, out: tuple | None = None) -> QR:
    """(Q, R) with A = Q R: Q orthonormal columns, R upper triangular. mode: reduced, complete (square Q), r (an empty Q).

    Gradients flow in mode "reduced", and "complete" of matrices with no more rows than columns. RuntimeError for another mode.

        >>> ingot.linalg.qr(ingot.eye(3)).R
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    a = matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    lead, (m, n) = tuple(a.shape[:-2]), a.shape[-2:]
    if mode == "complete" and m > n:
        q, r = decompose.qr(flat(a.detach()), m)
    else:
        q, r = _QR.apply(flat(a))
    q, r = q.reshape((*lead, *q.shape[1:])), r.reshape((*lead, *r.shape[1:]))
    return emit_out(QR(a.new_empty(0), r.detach()) if mode == "r" else QR(q, r), out)


def qr(input: Tensor, some: bool = True, *, out: tuple | None = None) -> QR:
    """`ingot.linalg.qr`, of mode "reduced" or (not `some`) "complete"."""
    return qr_factor(input, "reduced" if some else "complete", out=out)


# -- eigenvalues, singular values --------------------------------------------------------------------------------------


def _gaps(values: Tensor) -> Tensor:
    """values[j] - values[i], with ones on the diagonal."""
    gap = values.unsqueeze(-2) - values.unsqueeze(-1)
    return gap + ingot.eye(values.shape[-1], dtype=values.dtype)


class _Eigh(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        n = a.shape[-1]
        shift = a.abs().sum(-1).amax(-1).reshape((-1, 1, 1)) if n else a.new_zeros(a.shape[0], 1, 1)
        _, v = decompose.rotations(a + shift * ingot.eye(n, dtype=a.dtype))  # no eigenvalue is negative: they are the singular ones
        values = (v * (a @ v)).sum(1)
        values, order = values.sort(-1)
        v = v.gather(2, order.unsqueeze(1).expand(*v.shape))
        ctx.save_for_backward(values, v)
        return values, v

    @staticmethod
    def backward(ctx: Any, by_values: Tensor, by_vectors: Tensor) -> Any:  # type: ignore[override]
        values, v = ctx.saved_tensors
        inner = _mT(v) @ by_vectors
        eye = ingot.eye(values.shape[-1], dtype=ingot.bool)
        middle = ingot.where(eye, ingot.diag_embed(by_values), ingot.where(inner == 0, 0.0, inner / _gaps(values)))
        return v @ middle @ _mT(v)


def eigh(A: Tensor, UPLO: str = "L", *, out: tuple | None = None) -> Eigh:
    """(eigenvalues, eigenvectors) of symmetric matrices, in rising order; eigenvectors are columns. One triangle is read (`UPLO`).

    >>> ingot.linalg.eigh(ingot.eye(2)).eigenvalues
    tensor([1., 1.])
    """
    a = matrices("linalg.eigh", A, True)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    half = (a.detach().tril(-1) if UPLO.upper() == "L" else a.detach().triu(1))
    whole = half + _mT(half) + ingot.diag_embed(a.detach().diagonal(0, -2, -1))
    values, vectors = _Eigh.apply(flat(whole + (a - a.detach())))  # the gradient is that of the whole matrix, as in torch
    return emit_out(Eigh(values.reshape(tuple(a.shape[:-1])), vectors.reshape(tuple(a.shape))), out)


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of `eigh`."""
    return emit_out(eigh(A, UPLO).eigenvalues, out)


def _thin(a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, V of (b, m, n) with m >= n."""
    m, n = a.shape[1:]
    av, v = decompose.rotations(a)
    s, order = (av * av).sum(1).sqrt().sort(-1, descending=True)
    av, v = (x.gather(2, order.unsqueeze(1).expand(*x.shape)) for x in (av, v))
    u, r = decompose.qr(av, m if full else n)
    sign = ingot.where(r.diagonal(0, -2, -1) < 0, -1.0, 1.0).to(a.dtype)
    if full:
        sign = ingot.cat([sign, sign.new_ones(a.shape[0], m - n)], 1)
    return u * sign.unsqueeze(1), s, v


class _SVD(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        if a.shape[1] >= a.shape[2]:
            u, s, v = _thin(a, False)
        else:
            v, s, u = _thin(_mT(a), False)
        vh = _mT(v)
        ctx.save_for_backward(u, s, vh)  # the results themselves: second derivatives go through them
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, by_u: Tensor, by_s: Tensor, by_vh: Tensor) -> Any:  # type: ignore[override]
        u, s, vh = ctx.saved_tensors
        v, by_v, gaps = _mT(vh), _mT(by_vh), _gaps(s * s)
        row, column = s.unsqueeze(-2), s.unsqueeze(-1)

        def skew(x: Tensor) -> Tensor:
            d = x - _mT(x)
            return ingot.where(d == 0, 0.0, d / gaps)

        left, right = _mT(u) @ by_u, _mT(v) @ by_v
        middle = skew(left) * row + column * skew(right) + ingot.diag_embed(by_s)
        out = u @ middle @ _mT(v)
        if u.shape[1] > u.shape[2]:
            rest = by_u - u @ left
            out = out + ingot.where(rest == 0, 0.0, rest / row) @ _mT(v)
        if v.shape[1] > v.shape[2]:
            rest = by_v - v @ right
            out = out + u @ _mT(ingot.where(rest == 0, 0.0, rest / row))
        return out


def svd_factor(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: tuple | None = None) -> SVD:
    """(U, S, Vh) with A = U diag(S) Vh: U and Vh^T have orthonormal columns, S falls. full_matrices: square U and Vh.

    Gradients flow by U, S and Vh of the reduced form; by S alone in the full form of matrices that are not square.

        >>> ingot.linalg.svd(ingot.eye(2)).S
        tensor([1., 1.])
    """
    a = matrices("linalg.svd", A)
    lead, (m, n) = tuple(a.shape[:-2]), a.shape[-2:]
    u, s, vh = _SVD.apply(flat(a))
    if full_matrices and m != n:
        x = flat(a.detach())
        u, _, v = _thin(x, True) if m > n else reversed(_thin(_mT(x), True))  # type: ignore[assignment]
        vh = _mT(v)
    return emit_out(SVD(*(t.reshape((*lead, *t.shape[1:])) for t in (u, s, vh))), out)


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


def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: tuple | None = None) -> LegacySVD:
    """(U, S, V) with input = U diag(S) V^T, reduced if `some`; `ingot.linalg.svd` gives V^T. Without `compute_uv`, zeros for U and V."""
    u, s, vh = svd_factor(input, not some)
    if not compute_uv:
        m, n = input.shape[-2:]
        u, vh = (input.new_zeros(*input.shape[:-2], d, d) for d in (m, n))
    return emit_out(LegacySVD(u, s, _mT(vh)), out)


class _Pinv(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Tensor:
        if hermitian:
            s, u = eigh(a)
            v, size = u, s.abs()
        else:
            u, s, vh = svd_factor(a, False)
            v, size = _mT(vh), s
        keep = size > tolerance(a, size, atol, rtol)
        scale = ingot.where(keep, 1 / ingot.where(keep, s, 1.0), 0.0)
        p = (v * scale.unsqueeze(-2)) @ _mT(u)
        ctx.save_for_backward(a, p)
        return p

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        a, p = ctx.saved_tensors
        t, g = _mT(p), _mT(grad)
        outer, inner = g @ p, p @ g
        by_a = (outer - a @ (p @ outer)) @ t + t @ (inner - (inner @ p) @ a) - t @ grad @ t
        return by_a, None, None, None


def pinv(
    A: Tensor, rcond: float | Tensor | None = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The pseudoinverse: singular values up to max(atol, rtol * the largest) count as zero (rtol: eps * the longer side).

    hermitian: the matrices are symmetric, and only their lower triangles are read.

        >>> ingot.linalg.pinv(ingot.ones(2, 3)).shape
        ingot.Size([3, 2])
    """
    a = matrices("linalg.pinv", A, bool(hermitian))
    if not a.numel():
        return emit_out(_mT(a) * 1, out)
    return emit_out(_Pinv.apply(a, atol, rtol if rtol is not None else rcond, bool(hermitian)), out)


def tolerance(a: Tensor, s: Tensor, atol: Any, rtol: Any) -> Tensor:
    """The singular value up to which one counts as zero."""
    if rtol is None:
        given = atol is not None and (isinstance(atol, Tensor) or atol > 0)
        rtol = 0.0 if given else ingot.finfo(a.dtype).eps * max(a.shape[-2:])
    rel = (rtol.unsqueeze(-1) if isinstance(rtol, Tensor) and rtol.ndim else rtol) * s.detach().amax(-1, keepdim=True)
    absolute = atol.unsqueeze(-1) if isinstance(atol, Tensor) and atol.ndim else (0.0 if atol is None else atol)
    return ingot.maximum(rel, absolute if isinstance(absolute, Tensor) else ingot.full_like(rel, absolute))


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`ingot.linalg.pinv`."""
    return pinv(input, rcond)
