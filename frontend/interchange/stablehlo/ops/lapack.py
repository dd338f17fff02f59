"""LAPACK's routines, as JAX calls them on a CPU: what they give, by the public functions of linear algebra.

Names are those of the routines without the letter of the type: s, d, c, z.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.functions import eigen_scans, form_scans, real_schur
from ingot.functions.common import apply, cast, scalar
from ingot.functions.eigen import both_sides as eigen
from ingot.functions.matrices import flat
from ingot.interchange.stablehlo.ops.calls import target
from ingot.interchange.stablehlo.ops.linear import solved
from ingot.interchange.stablehlo.rules import Call
from ingot.ir import dtypes

__all__: list[str] = []


def _routine(*names: str) -> Callable[[Callable], Callable]:
    """Enter a function (call, tensors, options) for routines of every type of numbers, in both of JAX's ways to name them."""

    def enter(fn: Callable) -> Callable:
        def run(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
            return fn(c, [c.tensor(x, v.type) for x, v in zip(inputs, c.op.inputs)], options)

        for name in names:
            library, routine = name.split("_")
            for letter in "sdcz":
                target(f"{library}_{letter}{routine}_ffi", f"{library}_{letter}{routine}")(run)
        return fn

    return enter


def _letter(options: dict[str, Any], name: str, default: str) -> str:
    """An option that is a letter, as its code."""
    value = options.get(name, default)
    return chr(value) if isinstance(value, int) else str(value)


def _fine(c: Call, which: int) -> Tensor:
    """An `info` of zeros, as the result of that number."""
    t = c.types[which]
    return apply("broadcast", scalar(0, dtypes.i32), attrs=(tuple(t.shape or ()),))


def _info(c: Call, which: int, bad: Tensor) -> Tensor:
    return apply("reshape", cast(bad, dtypes.i32), attrs=(tuple(c.types[which].shape or ()),))


@_routine("lapack_potrf")
def potrf(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    (a,) = inputs
    lower = _letter(options, "uplo", "L") == "L"
    x = a if lower else a.mH
    out, info = ingot.linalg.cholesky_ex(ingot.tril(x) + ingot.tril(x, -1).mH)
    if not lower:
        out = out.mH
    return out, _info(c, 1, info)


@_routine("lapack_geqrf")
def geqrf(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    out = ingot.geqrf(inputs[0])
    return (out.a, out.tau) if len(c.types) == 2 else (out.a, out.tau, _fine(c, 2))


@_routine("lapack_orgqr", "lapack_ungqr")
def orgqr(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    q = ingot.linalg.householder_product(*inputs[:2])
    return (q,) if len(c.types) == 1 else (q, _fine(c, 1))


@_routine("lapack_getrf")
def getrf(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    lu, pivots, info = ingot.linalg.lu_factor_ex(inputs[0])
    return lu, cast(pivots, dtypes.i32), _info(c, 2, info)


@_routine("lapack_gesdd", "lapack_gesvd")
def gesdd(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    """Results are a, the singular values, u, v^H, and info, where mode N has no vectors."""
    (a,) = inputs
    mode = _letter(options, "mode", "S" if not options.get("full_matrices", True) else "A")
    if mode == "N":
        s = ingot.linalg.svdvals(a)
        rest = [apply("broadcast", scalar(0, a.dtype), attrs=(tuple(t.shape or ()),)) for t in c.types[2:4]]
        return a, s, *rest, _fine(c, 4)
    u, s, vh = ingot.linalg.svd(a, full_matrices=mode == "A")
    return a, s, u, vh, _fine(c, 4)


@_routine("lapack_syevd", "lapack_heevd")
def syevd(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    values, vectors = ingot.linalg.eigh(inputs[0], UPLO=_letter(options, "uplo", "L"))
    return vectors, values, _fine(c, 2)


@_routine("blas_trsm", "lapack_trsm")
def trsm(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    a, b = inputs[:2]
    turned = {"N": "NO_TRANSPOSE", "T": "TRANSPOSE", "C": "ADJOINT"}[_letter(options, "trans_x", "N")]
    left, lower = _letter(options, "side", "L") == "L", _letter(options, "uplo", "L") == "L"
    return (solved(a, b, left, lower, _letter(options, "diag", "N") == "U", turned),)


@_routine("lapack_gtsv")
def gtsv(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    """A tridiagonal system, as a full one."""
    dl, d, du, b = inputs
    n = d.shape[-1]
    a = ingot.diag_embed(d)
    if n > 1:
        a = a + ingot.diag_embed(dl[..., 1:], -1) + ingot.diag_embed(du[..., :-1], 1)
    return dl, d, du, ingot.linalg.solve_ex(a, b)[0], _fine(c, 4)


@_routine("lapack_geev")
def geev(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    """Eigenvalues, left and right eigenvectors of a general matrix."""
    (a,) = inputs
    values, right, left = eigen(a, _letter(options, "compute_left", "N") == "V")
    none = apply("broadcast", scalar(0, right.dtype), attrs=(tuple(a.shape),))
    parts = (values,) if a.dtype.kind == "c" else (apply("real", values), apply("imag", values))
    return *parts, none if left is None else left, right, _fine(c, len(parts) + 2)


def _in_batches(fn: Callable[[Tensor], tuple[Tensor, ...]], a: Tensor) -> list[Tensor]:
    """A form of matrices (b, n, m), of matrices with any dims before them."""
    before = tuple(a.shape[:-2])
    return [r.reshape((*before, *r.shape[1:])) for r in fn(flat(a))]


@_routine("lapack_gehrd")
def gehrd(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    """Hessenberg's form: the matrix with the reflections below it, and their scales."""
    (a,) = inputs
    if options.get("low", 1) != 1 or options.get("high", a.shape[-1]) != a.shape[-1]:
        raise NotImplementedError("Hessenberg's form of a part of a matrix")
    return *_in_batches(form_scans.gehrd, a), _fine(c, 2)


@_routine("lapack_sytrd", "lapack_hetrd")
def sytrd(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    """The tridiagonal form of a symmetric matrix: reflections in the triangle that is read, diagonal, off-diagonal, scales."""
    lower = _letter(options, "uplo", "L") == "L"
    x = inputs[0] if lower else inputs[0].flip((-2, -1))
    if x.dtype.kind == "c":
        on = ingot.eye(x.shape[-1], dtype=ingot.bool)
        x = ingot.where(on, ingot.complex(x.real, x.imag * 0.0), x)
    h, tau = _in_batches(form_scans.gehrd, ingot.tril(x) + ingot.tril(x, -1).mH)
    out = ingot.tril(h) + ingot.triu(x, 1)
    d, e = h.diagonal(0, -2, -1), h.diagonal(-1, -2, -1)
    if h.dtype.kind == "c":
        d, e = d.real, e.real
    if not lower:
        out, d, e, tau = out.flip((-2, -1)), d.flip(-1), e.flip(-1), tau.flip(-1)
    return out, d, e, tau, _fine(c, 4)


@_routine("lapack_geqp3")
def geqp3(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    if c.run.number(c.op.inputs[1]) != 0:
        raise NotImplementedError("QR with columns that stay in front")
    a, places, tau = _in_batches(form_scans.geqp3, inputs[0])
    out = (a, cast(places + 1, dtypes.i32), tau)
    return out if len(c.types) == 3 else (*out, _fine(c, 3))


@_routine("lapack_gees")
def gees(c: Call, inputs: list[Tensor], options: dict[str, Any]) -> Any:
    """Schur's form: T, Q with A = Q T Q^H, the eigenvalues; of real matrices in real numbers, with both parts of the eigenvalues."""
    (a,) = inputs
    if _letter(options, "sort", "N") != "N":
        raise NotImplementedError("Schur's form with eigenvalues in an order")
    form = eigen_scans.schur if a.dtype.kind == "c" else real_schur.real_schur
    t, q, *values, done = _in_batches(lambda x: form(*eigen_scans.hessenberg(x)), a)
    values = values or [t.diagonal(0, -2, -1)]
    nothing = apply("broadcast", scalar(0, dtypes.i32), attrs=(tuple(done.shape),))
    return t, q, *values, nothing, _info(c, 3 + len(values), ingot.logical_not(done))
