"""Eigenvalues and eigenvectors of general matrices, with their derivative. `ingot.linalg` gives them."""

from __future__ import annotations

from typing import Any, NamedTuple

import ingot
from ingot._tensor.autocast import full
from ingot.autograd.function import Function
from ingot.functions import eigen_scans
from ingot.functions.common import Tensor, cast, emit_out
from ingot.functions.matrices import check_matrices, conj, flat, mH, required
from ingot.functions.systems import solved

__all__: list[str] = []


class Eig(NamedTuple):
    """What `linalg.eig` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _paired(values: Tensor, sides: list[Tensor], size: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Those of real matrices: real ones with no imaginary part, and pairs side by side, the second as the conjugate of the first."""
    n = values.shape[-1]
    real = values.imag.abs() <= size * (n * 4 * ingot.finfo(size.dtype).eps)
    values = ingot.where(real, ingot.complex(values.real, values.imag * 0.0), values)
    gap = (values.conj().unsqueeze(-1) - values.unsqueeze(-2)).abs()
    other = gap.argmin(-1)
    mutual = other.gather(-1, other) == ingot.arange(n)
    second = (values.imag < 0).logical_and(mutual)
    values = ingot.where(second, conj(values).gather(-1, other), values)
    at = ingot.arange(n).expand(*other.shape)
    order = (2 * ingot.where(mutual, ingot.minimum(at, other), at) + second).argsort(-1)

    def side(vectors: Tensor) -> Tensor:
        alone = vectors.real / vectors.real.square().sum(-2, keepdim=True).sqrt()  # of several with one value, both parts are eigenvectors
        vectors = ingot.where(real.unsqueeze(1), ingot.complex(alone, vectors.imag * 0.0), vectors)
        turned = conj(vectors).gather(2, other.unsqueeze(1).expand(*vectors.shape))
        vectors = ingot.where(second.unsqueeze(1), turned, vectors)
        return vectors.gather(2, order.unsqueeze(1).expand(*vectors.shape))

    return values.gather(-1, order), [side(v) for v in sides]


def _spectrum(a: Tensor, real: bool, left: bool) -> tuple[Tensor, list[Tensor]]:
    """The eigenvalues of matrices (b, n, n), and their right eigenvectors, then the left ones where they are asked for."""
    balanced, scales = eigen_scans.balance(a.real if real else a)
    h, q = eigen_scans.hessenberg(balanced)
    t, q, done = eigen_scans.schur(cast(h, a.dtype), cast(q, a.dtype))
    finite = a.abs().sum((1, 2)).isfinite()
    t = required(t, lambda: finite, "linalg.eig: input tensor should not contain infs or NaNs.")
    t = required(t, lambda: done, "linalg.eig: The algorithm failed to converge: too many eigenvalues are still coupled.")
    values, sides = t.diagonal(0, -2, -1), [eigen_scans.triangular_vectors(t, q * scales)]
    if left:  # the right ones of A^H, whose Schur form is T^H from the last row to the first
        sides.append(eigen_scans.triangular_vectors(mH(t).flip((1, 2)), (q / scales).flip(2)).flip(2))
    if real:
        values, sides = _paired(values, sides, h.abs().amax((1, 2)).unsqueeze(-1))
    good = done.logical_and(finite).unsqueeze(-1)
    return ingot.where(good, values, float("nan")), [ingot.where(good.unsqueeze(-1), v, float("nan")) for v in sides]


def both_sides(a: Tensor, left: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Eigenvalues, right eigenvectors, and left ones u with u^H A = value u^H if they are asked for; without gradients then."""
    if not left or not a.numel():
        return *eig(a), None
    x = flat(cast(a.detach(), a.dtype.to_complex()))
    values, sides = _spectrum(x, a.dtype.kind != "c", True)
    right, others = (v.reshape(tuple(a.shape)) for v in sides)
    return values.reshape(tuple(a.shape[:-1])), right, others


class _Eig(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, real: bool) -> Any:
        values, (vectors,) = _spectrum(a, real, False)
        ctx.save_for_backward(values, vectors)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, by_values: Tensor, by_vectors: Tensor) -> Any:  # type: ignore[override]
        values, v = ctx.saved_tensors
        inner = mH(v) @ by_vectors
        inner = inner - mH(v) @ (v * inner.diagonal(0, -2, -1).real.unsqueeze(-2))  # the length of a vector stays 1
        eye = ingot.eye(values.shape[-1], dtype=ingot.bool)
        gap = conj(values.unsqueeze(-2) - values.unsqueeze(-1))
        middle = ingot.where(eye, ingot.diag_embed(by_values), ingot.where(inner == 0, 0.0, inner / ingot.where(eye, 1.0, gap)))
        return solved(mH(v), middle @ mH(v), True, False), None


@full
def eig(A: Tensor, *, out: tuple | None = None) -> Eig:
    """(eigenvalues, eigenvectors) of square matrices, both complex and in no order; eigenvectors are columns of length 1.

    Those of real matrices come in conjugate pairs, that with the positive imaginary part first. Gradients flow where all eigenvalues
    differ, and are meant for what does not depend on the phase of an eigenvector. LinAlgError where QR steps do not converge, or for
    infinities and NaN.

        >>> ingot.linalg.eig(ingot.tensor([[0.0, -1.0], [1.0, 0.0]])).eigenvalues.imag.abs()
        tensor([1.0000, 1.0000])
    """
    a = check_matrices("linalg.eig", A, True)
    real = a.dtype.kind != "c"
    x = flat(cast(a, a.dtype.to_complex()))
    if not a.numel():
        return emit_out(Eig(x.reshape(tuple(a.shape)).diagonal(0, -2, -1).clone(), x.reshape(tuple(a.shape)) * 1), out)
    values, vectors = _Eig.apply(x, real)
    return emit_out(Eig(values.reshape(tuple(a.shape[:-1])), vectors.reshape(tuple(a.shape))), out)


@full
def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of `eig`.

    >>> ingot.linalg.eigvals(ingot.eye(2))
    tensor([1.+0.j, 1.+0.j])
    """
    return emit_out(eig(A).eigenvalues, out)
