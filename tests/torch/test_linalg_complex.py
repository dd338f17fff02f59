"""Complex matrices in every decomposition, and eigenvalues of general ones, against torch: values, gradients, second gradients."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import ingot
from tests.torch.complex_against import close, compare, numbers


def given(dtype: str = "complex128") -> dict[str, np.ndarray]:
    a = numbers((2, 4, 4), dtype, "a")
    square = numbers((4, 4), dtype, "s")
    return {
        "a": a, "b": numbers((2, 4, 3), dtype, "b"), "tall": numbers((2, 5, 3), dtype, "t"), "wide": numbers((2, 3, 5), dtype, "w"),
        "h": a + a.conj().swapaxes(-1, -2), "s": square,
    }  # fmt: skip


# the columns of U and V have phases that nothing fixes: what is compared does not depend on them
SIZES = "(lambda u, s, v: (s, (u * u.conj()).real, (v * v.conj()).real, u[..., :1] * v[..., :1, :1]))"
VECTORS = "(lambda w, v: (w, (v * v.conj()).real, v[..., :1, :] * v[..., 1:2, :].conj()))"
CASES = [
    "m.linalg.lu_factor(a)", "m.linalg.lu(tall)", "m.linalg.lu(wide)", "m.lu_unpack(*m.linalg.lu_factor(a))", "m.linalg.solve(a, b)",
    "m.linalg.solve(a, b.mT, left=False)", "m.linalg.inv(a)", "m.linalg.det(a)", "m.linalg.slogdet(a)", "m.logdet(a)",
    "m.linalg.cholesky(a @ a.mH + m.eye(4))", "m.linalg.cholesky(a @ a.mH + m.eye(4), upper=True)",
    "m.cholesky_solve(b, m.linalg.cholesky(a @ a.mH + m.eye(4)))", "m.cholesky_inverse(m.linalg.cholesky(a @ a.mH + m.eye(4)))",
    "m.linalg.qr(a)", "m.linalg.qr(tall)", "m.linalg.qr(wide)", "m.linalg.qr(tall.detach(), mode='complete')", "m.geqrf(tall.detach())",
    "m.ormqr(*m.geqrf(a.detach()), b.detach(), True, True)", "m.linalg.householder_product(*m.geqrf(tall.detach()))",
    f"{VECTORS}(*m.linalg.eigh(h))", "m.linalg.eigvalsh(h, 'U')", f"{SIZES}(*m.linalg.svd(tall, full_matrices=False))",
    f"{SIZES}(*m.linalg.svd(wide, full_matrices=False))", "m.linalg.svdvals(tall)",
    "m.linalg.pinv(tall)", "m.linalg.pinv(h, hermitian=True)",
    "m.linalg.lstsq(tall, tall[..., :2] * 1j).solution", "m.linalg.matrix_exp(a)", "m.linalg.matrix_power(a, -3)", "m.linalg.cond(a)",
    "m.linalg.matrix_norm(tall)", "m.linalg.matrix_norm(tall, 'nuc')", "m.linalg.matrix_norm(tall, 2)", "m.linalg.matrix_norm(tall, 1)",
    "m.linalg.solve_triangular(a, b, upper=True)", "m.linalg.solve_triangular(a, b.mT, upper=False, left=False)",
    "m.linalg.lu_solve(*m.linalg.lu_factor(a), b, adjoint=True)", "m.linalg.lu_solve(*m.linalg.lu_factor(a), b.mT, left=False)",
    "m.linalg.tensorinv(s.reshape(2, 2, 4))", "m.linalg.matrix_rank(a)", "m.linalg.solve_ex(a, b)", "m.linalg.inv_ex(a)",
]  # fmt: skip


@pytest.mark.parametrize("expr", CASES)
def test_complex_matrices(expr: str) -> None:
    used = {k: x for k, x in given().items() if re.search(rf"\b{k}\b", expr)}
    compare(expr, used, twice="qr" not in expr, room=10)


def test_complex64_keeps_its_precision() -> None:
    used = given("complex64")
    for expr in ("m.linalg.solve(a, b)", "m.linalg.qr(tall)", "m.linalg.svdvals(tall)", "m.linalg.eigvalsh(h)"):
        compare(expr, used, grad=False, room=10)


def spectrum(m, a) -> np.ndarray:
    return np.sort_complex(np.round(m.linalg.eigvals(m.tensor(a)).numpy(), 8))


@pytest.mark.parametrize(
    "name, a",
    [
        ("real", numbers((3, 6, 6), "float64")),
        ("complex", numbers((2, 5, 5), "complex128")),
        ("circulant", np.roll(np.eye(8), 1, 0)),
        ("zero", np.zeros((4, 4))),
        ("a pair", np.array([[0.0, -1.0], [1.0, 0.0]])),
        ("defective", np.array([[1.0, 1.0], [0.0, 1.0]])),
        ("rank one", np.ones((7, 7))),
        ("triangular", np.triu(np.arange(16.0).reshape(4, 4))),
        ("far apart", np.diag([1e200, 1.0, 1e-200])),
        ("one", numbers((2, 1, 1), "float64")),
    ],
)
def test_eigenvalues_and_vectors(name: str, a: np.ndarray) -> None:
    values, vectors = (t.numpy() for t in ingot.linalg.eig(ingot.tensor(a)))
    scale = max(np.abs(a).max(), 1)
    np.testing.assert_allclose(a @ vectors / scale, vectors * values[..., None, :] / scale, atol=1e-13)
    np.testing.assert_allclose((np.abs(vectors) ** 2).sum(-2), 1.0, atol=1e-12)
    np.testing.assert_array_equal(values, ingot.linalg.eigvals(ingot.tensor(a)).numpy())
    if a.ndim == 2:
        np.testing.assert_allclose(spectrum(ingot, a), spectrum(torch, a), atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_eigenvalues_of_matrices_whose_rows_differ_in_size(dtype: str) -> None:
    rng = np.random.default_rng(3)
    size = 10.0 ** rng.uniform(-5, 5, 6)
    a = (rng.standard_normal((6, 6)) * size[:, None] / size).astype(dtype)
    exact = np.linalg.eigvals(a.astype("complex128"))
    values, vectors = (t.numpy() for t in ingot.linalg.eig(ingot.tensor(a)))
    nearest = np.abs(values[:, None] - exact).argmin(0)
    np.testing.assert_allclose(values[nearest], exact, rtol=1e-4 if dtype == "float32" else 1e-11)
    np.testing.assert_allclose((np.abs(vectors) ** 2).sum(-2), 1.0, rtol=1e-5)


def test_eigenvalues_of_real_matrices_come_in_pairs() -> None:
    values, vectors = (t.numpy() for t in ingot.linalg.eig(ingot.tensor(numbers((9, 9), "float64"))))
    assert np.any(values.imag == 0) and np.all(vectors[:, values.imag == 0].imag == 0)
    for i in np.flatnonzero(values.imag > 0):
        (j,) = np.flatnonzero(values == values[i].conj())
        np.testing.assert_array_equal(vectors[:, j], vectors[:, i].conj())


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradients_of_eigenvalues(dtype: str) -> None:
    a = numbers((2, 4, 4), dtype)

    def loss(m, x):  # symmetric in the pairs, and free of phases
        values, v = m.linalg.eig(x)
        size = (v * v.conj()).real
        return (values**3).real.sum() + (size * size * values.real.unsqueeze(-2)).sum()

    found = []
    for m in (ingot, torch):
        x = m.tensor(a).requires_grad_()
        (g,) = m.autograd.grad(loss(m, x), x, create_graph=True)
        (h,) = m.autograd.grad((g * g.conj()).real.sum() if g.is_complex() else (g * g).sum(), x)
        found.append((g, h))
    for mine, theirs in zip(*found):
        close(mine, theirs, 1e-7, "gradient of eig")


def test_eig_of_nothing_and_of_what_has_no_eigenvalues() -> None:
    assert tuple(ingot.linalg.eig(ingot.zeros(2, 0, 0)).eigenvectors.shape) == (2, 0, 0)
    assert tuple(ingot.linalg.eigvals(ingot.zeros(0, 3, 3)).shape) == (0, 3)
    with pytest.raises(RuntimeError, match="infs or NaNs"):
        ingot.linalg.eig(ingot.full((2, 2), float("nan")))
    with pytest.raises(RuntimeError, match="square"):
        ingot.linalg.eig(ingot.zeros(2, 3))


def test_eig_in_a_compiled_function() -> None:
    a = numbers((5, 5), "float64")
    compiled = ingot.compile(lambda x: (ingot.linalg.eigvals(x) ** 2).sum().real)
    np.testing.assert_allclose(float(compiled(ingot.tensor(a))), np.trace(a @ a), rtol=1e-10)
