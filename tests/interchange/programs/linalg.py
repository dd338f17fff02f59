"""Programs: linalg."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["forms", "linalg"]


def _left(a: jax.Array) -> jax.Array:
    w, left, _ = lax.linalg.eig(a)
    return jnp.abs(left.conj().T @ a - w[:, None] * left.conj().T).max() < 1e-4


def _schur(a: jax.Array) -> jax.Array:
    t, q = lax.linalg.schur(a)
    return jnp.abs(q @ t @ q.conj().T - a).max() < 1e-4


def forms() -> Iterator[Program]:
    """LAPACK's forms of matrices, which depend on no order and no sign that a library may choose."""
    for d in ("f32", "c64"):
        (a,) = draw("forms" + d, (d, (3, 3)))
        cases: dict[str, Callable] = {
            "hessenberg": lax.linalg.hessenberg,
            "tridiagonal": lambda a: lax.linalg.tridiagonal(a, lower=True),
            "tridiagonal_upper": lambda a: lax.linalg.tridiagonal(a, lower=False),
            "qr_pivoting": lambda a: jax.scipy.linalg.qr(a[:2], pivoting=True),
            "eig_left": _left,
            "schur": _schur,
        }
        for name, fn in cases.items():
            yield Program("linalg", f"{name}_{d}", fn, (a,), tol=2e-4)
    yield Program("linalg", "schur_turn", _schur, (np.float32([[0, 1], [-1, 0]]),))


def linalg() -> Iterator[Program]:
    la = jnp.linalg
    for d, tol in (("f32", 2e-4), ("f64", 1e-10)):
        a, b, v = draw("la" + d, (d, (4, 4)), (d, (4, 3)), (d, (4,)))
        tall, many = draw("lb" + d, (d, (6, 3)), (d, (2, 3, 3)))
        cases: dict[str, tuple[Callable, tuple]] = {
            "cholesky": (lambda a: la.cholesky(a @ a.T + 4 * jnp.eye(4)), (a,)),
            "cholesky_upper": (lambda a: la.cholesky(a @ a.T + 4 * jnp.eye(4), upper=True), (a,)),
            "qr": (la.qr, (tall,)),
            "qr_complete": (lambda a: la.qr(a, "complete"), (tall,)),
            "qr_r": (lambda a: la.qr(a, "r"), (tall,)),
            "qr_batch": (la.qr, (many,)),
            "solve": (la.solve, (a, b)),
            "solve_vec": (la.solve, (a, v)),
            "inv": (la.inv, (a,)),
            "inv_batch": (la.inv, (many,)),
            "det": (la.det, (a,)),
            "slogdet": (la.slogdet, (a,)),
            "eigvalsh": (lambda a: la.eigvalsh(a + a.T), (a,)),
            "eigh": (lambda a: (lambda w, u: (w, (u * w) @ u.T))(*la.eigh(a + a.T)), (a,)),
            "svdvals": (lambda a: la.svd(a, compute_uv=False), (tall,)),
            "svd": (lambda a: (lambda u, s, vt: (s, (u * s) @ vt))(*la.svd(a, full_matrices=False)), (tall,)),
            "svd_full": (lambda a: (lambda u, s, vt: (s, jnp.abs(u.T @ u), jnp.abs(vt @ vt.T)))(*la.svd(a)), (tall,)),
            "pinv": (la.pinv, (tall,)),
            "lstsq": (lambda a, b: la.lstsq(a, b)[0], (tall, tall[:, 0])),
            "matrix_rank": (la.matrix_rank, (tall,)),
            "matrix_power": (lambda a: la.matrix_power(a, 5), (a,)),
            "cond": (la.cond, (a,)),
            "lu": (jax.scipy.linalg.lu, (a,)),
            "lu_factor": (jax.scipy.linalg.lu_factor, (a,)),
            "lu_batch": (lambda a: jax.scipy.linalg.lu_factor(a)[0], (many,)),
            "cho_solve": (lambda a, b: jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(a @ a.T + jnp.eye(4)), b), (a, b)),
            "solve_triangular": (lambda a, b: jax.scipy.linalg.solve_triangular(a + 5 * jnp.eye(4), b, lower=True), (a, b)),
            "solve_triangular_t": (lambda a, b: jax.scipy.linalg.solve_triangular(a + 5 * jnp.eye(4), b, trans=1), (a, b)),
            "triangular_right": (lambda a, b: lax.linalg.triangular_solve(a + 5 * jnp.eye(4), b.T, unit_diagonal=True), (a, b)),
            "expm": (jax.scipy.linalg.expm, (a,)),
            "multi_dot": (lambda a, b: la.multi_dot([a, a, b]), (a, b)),
            "tensordot": (lambda a, b: jnp.tensordot(a, b, 1), (a, b)),
            "einsum": (lambda a, b: jnp.einsum("ij,jk,i->k", a, b, a[0]), (a, b)),
            "matmul": (jnp.matmul, (a, b)),
            "vdot": (jnp.vdot, (a, a)),
            "inner": (jnp.inner, (a, a)),
            "cross": (jnp.cross, (tall, tall[::-1])),
            "norm_nuc": (lambda a: la.norm(a, "nuc"), (a,)),
            "batch_matmul": (jnp.matmul, (many, many)),
            "grad_det": (jax.grad(lambda a: la.det(a)), (a,)),
            "grad_solve": (jax.grad(lambda a, b: la.solve(a, b).sum()), (a, b)),
            "grad_chol": (jax.grad(lambda a: la.cholesky(a @ a.T + 4 * jnp.eye(4)).sum()), (a,)),
            "grad_eigh": (jax.grad(lambda a: la.eigvalsh(a + a.T).max()), (a,)),
            "grad_qr": (jax.grad(lambda a: la.qr(a)[1].sum()), (tall,)),
            "block_diag": (lambda a, b: jax.scipy.linalg.block_diag(a, b), (a, b)),
            "toeplitz": (jax.scipy.linalg.toeplitz, (v,)),
            "tri_dia": (lambda a, b: lax.linalg.tridiagonal_solve(a[0], a[1] + 6, a[2], b), (a, b)),
            "grad_svd": (jax.grad(lambda a: la.svd(a, compute_uv=False).sum()), (tall,)),
        }
        for n, (fn, args) in cases.items():
            yield Program("linalg", f"{n}_{d}", fn, args, wide=d == "f64", tol=tol)
    z, more, rhs = draw("cla", ("c64", (4, 4)), ("c64", (6, 3)), ("c64", (4, 2)))
    own = jnp.eye(4) * 4
    complex_cases: dict[str, tuple[Callable, tuple]] = {
        "cholesky": (lambda a: la.cholesky(a @ a.conj().T + own), (z,)),
        "qr": (lambda a: (lambda q, r: (q @ r, jnp.abs(r)))(*la.qr(a)), (more,)),
        "solve": (la.solve, (z, rhs)),
        "inv": (la.inv, (z,)),
        "det": (la.det, (z,)),
        "eigh": (lambda a: (lambda w, u: (w, (u * w) @ u.conj().T))(*la.eigh(a + a.conj().T)), (z,)),
        "svd": (lambda a: (lambda u, s, vh: (s, (u * s) @ vh))(*la.svd(a, full_matrices=False)), (more,)),
        "triangular": (lambda a, b: lax.linalg.triangular_solve(a + own, b, left_side=True, conjugate_a=True, transpose_a=True), (z, rhs)),
        "matmul": (jnp.matmul, (z, rhs)),
        "eig": (lambda a: (lambda w, v: jnp.abs(a @ v - v * w).max() < 1e-4)(*la.eig(a)), (z,)),
    }
    for n, (fn, args) in complex_cases.items():
        yield Program("linalg", f"{n}_c64", fn, args, tol=1e-3)
    r = draw("eig", (5, 5))
    yield Program("linalg", "eig_f32", lambda a: (lambda w, v: jnp.abs(a @ v - v * w).max() < 1e-3)(*la.eig(a)), r)
    yield Program("linalg", "eigvals_f32", lambda a: jnp.sort(jnp.abs(la.eigvals(a))), r, tol=1e-3)
    yield from forms()
    x, y = draw("dg", (2, 3, 4, 5), (5, 3, 2, 6))
    for i, dims in enumerate(
        ((((3,), (0,)), ((), ())), (((3, 1), (0, 1)), ((0,), (2,))), (((), ()), ((0, 1), (2, 1))), (((3, 0, 1), (0, 2, 1)), ((), ())))
    ):
        yield Program("linalg", f"dot_general_{i}", lambda x, y, d=dims: lax.dot_general(x, y, d), (x, y), tol=1e-4)
    for d, out in (
        ("i8", jnp.int32),
        ("bf16", jnp.float32),
        ("u8", jnp.int32),
        ("f16", jnp.float32),
        ("i32", jnp.int32),
        ("c64", jnp.complex64),
        ("bf16", None),
        ("bool", None),
    ):
        yield Program(
            "linalg",
            f"dot_{d}_{out.__name__ if out else 'same'}",
            lambda x, y, o=out: lax.dot(x, y, preferred_element_type=o) if o else jnp.dot(x, y),
            draw("dot" + d, (d, (3, 5)), (d, (5, 2))),
            tol=2e-2 if d in ("bf16", "f16") else 1e-5,
        )
