"""LDL factors in LAPACK's form, and low-rank approximations, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot


def hermitian(rng: np.random.Generator, n: int, complex_: bool, conjugate: bool) -> np.ndarray:
    """Two matrices with zeros in them, so that pivots of both sizes come."""
    a = rng.normal(size=(2, n, n)) * (rng.random((2, n, n)) < 0.6)
    if complex_:
        a = a + 1j * rng.normal(size=(2, n, n))
    return a + (a.conj() if conjugate else a).swapaxes(1, 2)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("complex_, conjugate", [(False, False), (True, False), (True, True)])
def test_ldl_is_lapacks(n: int, complex_: bool, conjugate: bool) -> None:
    rng = np.random.default_rng(n)
    for case in range(4):
        a = hermitian(rng, n, complex_, conjugate)
        if case == 3:
            a[:, range(n), range(n)] = 0  # no pivot of one row at first
        b = rng.normal(size=(2, n, 2)).astype(a.dtype)
        mine = ingot.linalg.ldl_factor_ex(ingot.tensor(a), hermitian=conjugate)
        theirs = torch.linalg.ldl_factor_ex(torch.tensor(a), hermitian=conjugate)
        np.testing.assert_array_equal(mine.pivots.numpy(), theirs.pivots.numpy())
        np.testing.assert_array_equal(mine.info.numpy(), theirs.info.numpy())
        np.testing.assert_allclose(mine.LD.numpy(), theirs.LD.numpy(), atol=1e-12)
        if not mine.info.any():
            x = ingot.linalg.ldl_solve(mine.LD, mine.pivots, ingot.tensor(b), hermitian=conjugate)
            np.testing.assert_allclose(a @ x.numpy(), b, atol=1e-9)


def test_ldl_errors_and_empty_ones() -> None:
    with pytest.raises(ingot.linalg.LinAlgError, match="block of D"):
        ingot.linalg.ldl_factor(ingot.zeros(2, 2))
    assert tuple(ingot.linalg.ldl_factor(ingot.zeros(2, 0, 0)).pivots.shape) == (2, 0)
    f, p = ingot.linalg.ldl_factor(ingot.eye(3))
    assert tuple(ingot.linalg.ldl_solve(f, p, ingot.zeros(4, 3, 0)).shape) == (4, 3, 0)
    with pytest.raises(RuntimeError, match="Incompatible"):
        ingot.linalg.ldl_solve(f, p, ingot.zeros(2, 1))


@pytest.mark.parametrize("shape", [(2, 9, 6), (6, 9)])
def test_low_rank_gives_a_matrix_of_low_rank_back(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a = ingot.tensor(rng.normal(size=(*shape[:-1], 2)) @ rng.normal(size=(2, shape[-1])))
    u, s, v = ingot.svd_lowrank(a, q=3)
    np.testing.assert_allclose((u * s.unsqueeze(-2) @ v.mT).numpy(), a.numpy(), atol=1e-10)
    np.testing.assert_allclose(s.numpy()[..., :2], np.linalg.svd(a.numpy(), compute_uv=False)[..., :2], rtol=1e-10)
    u, s, v = ingot.pca_lowrank(a, q=2)
    np.testing.assert_allclose((u * s.unsqueeze(-2) @ v.mT).numpy(), a.numpy() - a.numpy().mean(-2, keepdims=True), atol=1e-10)
    u, s, v = ingot.svd_lowrank(a, q=2, M=a * 0.5)
    np.testing.assert_allclose((u * s.unsqueeze(-2) @ v.mT).numpy(), a.numpy() * 0.5, atol=1e-10)
    with pytest.raises(ValueError, match="q"):
        ingot.svd_lowrank(a, q=7)


@pytest.mark.parametrize("largest", [True, False])
def test_lobpcg_finds_the_outer_eigenvalues(largest: bool) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(12, 12))
    a = a @ a.T + np.eye(12)
    b = np.diag(rng.uniform(1, 2, 12))
    for mass in (None, b):
        want = np.sort(np.linalg.eigvals(a if mass is None else np.linalg.inv(mass) @ a).real)
        want = want[::-1][:2] if largest else want[:2]
        x = ingot.tensor(a).requires_grad_()
        values, vectors = ingot.lobpcg(x, k=2, B=None if mass is None else ingot.tensor(mass), largest=largest, tol=1e-10)
        np.testing.assert_allclose(values.detach().numpy(), want, rtol=1e-8)
        left, right = a @ vectors.numpy(), (vectors.numpy() if mass is None else mass @ vectors.numpy()) * values.detach().numpy()
        np.testing.assert_allclose(left, right, atol=1e-6)
        values.sum().backward()
        assert x.grad is not None and abs(float((x.grad * x.detach()).sum()) - want.sum()) < 1e-6 * want.sum()
    with pytest.raises(ValueError, match="3 x"):
        ingot.lobpcg(ingot.eye(4), k=2)
