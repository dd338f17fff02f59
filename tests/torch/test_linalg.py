"""Decompositions beyond single samples: what they mean at size, in compiled functions, in second derivatives, for hard matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot


def tensor(a: np.ndarray, grad: bool = False) -> ingot.Tensor:
    t = ingot.from_numpy(np.ascontiguousarray(a)).clone()
    return t.requires_grad_() if grad else t


def close(got, want, tol: float = 1e-9) -> None:
    np.testing.assert_allclose(got.detach().numpy() if isinstance(got, ingot.Tensor) else got, want, rtol=tol, atol=tol)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_decompositions_give_the_matrix_back(n: int) -> None:
    a = np.random.default_rng(n).normal(size=(2, n + 3, n))
    u, s, vh = ingot.linalg.svd(tensor(a), full_matrices=False)
    close(u @ ingot.diag_embed(s) @ vh, a)
    close(u.mT @ u, np.broadcast_to(np.eye(n), (2, n, n)))
    close(vh @ vh.mT, np.broadcast_to(np.eye(n), (2, n, n)))
    close(s, np.linalg.svd(a, compute_uv=False))
    full = ingot.linalg.svd(tensor(a)).U
    close(full.mT @ full, np.broadcast_to(np.eye(n + 3), (2, n + 3, n + 3)))
    symmetric = a.transpose(0, 2, 1)[:, :, :n] + a[:, :n]
    values, vectors = ingot.linalg.eigh(tensor(symmetric))
    close(vectors @ ingot.diag_embed(values) @ vectors.mT, symmetric, 1e-8)
    close(values, np.linalg.eigvalsh(symmetric), 1e-8)
    q, r = ingot.linalg.qr(tensor(a))
    close(q @ r, a)
    close(r, torch.linalg.qr(torch.tensor(a)).R.numpy())


@pytest.mark.parametrize(
    "name, a",
    [
        ("zero", np.zeros((4, 3))),
        ("rank one", np.outer(np.arange(1.0, 5), np.arange(1.0, 4))),
        ("equal values", np.eye(4)[:, :3] * 2),
        ("far apart", np.diag([1e8, 1.0, 1e-8])[:, ::-1]),
        ("opposite eigenvalues", np.array([[0.0, 2.0, 0], [2.0, 0, 0], [0, 0, -2.0]])),
    ],
)
def test_hard_matrices(name: str, a: np.ndarray) -> None:
    a = np.ascontiguousarray(a)
    u, s, vh = ingot.linalg.svd(tensor(a), full_matrices=False)
    scale = max(np.abs(a).max(), 1)
    close((u * s @ vh) / scale, a / scale, 1e-12)
    close(u.mT @ u, np.eye(3), 1e-12)
    close(s / scale, np.linalg.svd(a, compute_uv=False) / scale, 1e-12)
    close(ingot.linalg.pinv(tensor(a), rtol=1e-12), np.linalg.pinv(a, rcond=1e-12), 1e-6)
    assert int(ingot.linalg.matrix_rank(tensor(a), rtol=1e-12)) == np.linalg.matrix_rank(a, tol=1e-12 * scale)
    if a.shape[0] == a.shape[1] and np.allclose(a, a.T):
        values, vectors = ingot.linalg.eigh(tensor(a))
        close((vectors * values @ vectors.mT) / scale, a / scale, 1e-12)


def test_compiled_functions_solve_and_differentiate() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 5)) + 5 * np.eye(5), rng.normal(size=(5, 2))

    def fit(m, a, b):
        spd = a @ a.mT
        x = m.linalg.solve(spd, b) + m.linalg.inv(a) @ b
        return (x * x).sum() + m.linalg.slogdet(spd)[1] + m.linalg.cholesky(spd).sum() + m.linalg.eigvalsh(spd).sum()

    ta, tb = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    want = fit(torch, ta, tb)
    want.backward()
    x, y = tensor(a, True), tensor(b, True)
    loss = ingot.compile(lambda a, b: fit(ingot, a, b))(x, y)
    loss.backward()
    close(loss, want.item())
    close(x.grad, ta.grad.numpy(), 1e-7)
    close(y.grad, tb.grad.numpy(), 1e-7)


@pytest.mark.parametrize("name", ["inv", "cholesky", "slogdet", "eigvalsh", "svdvals", "det", "pinv", "qr", "eigh", "svd"])
def test_second_derivatives(name: str) -> None:
    rng = np.random.default_rng(1)
    a, direction = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    a = a @ a.T + np.eye(3)

    def second(m, a, direction):
        out = getattr(m.linalg, name)(a @ a.mT)
        parts = (out[1],) if name == "slogdet" else (out,) if isinstance(out, m.Tensor) else tuple(out)
        total = sum((p * p * p * p).sum() for p in parts)  # even: signs of columns do not show
        (g,) = m.autograd.grad(total, a, create_graph=True)
        return m.autograd.grad((g * direction).sum(), a)[0]

    want = second(torch, torch.tensor(a, requires_grad=True), torch.tensor(direction))
    close(second(ingot, tensor(a, True), tensor(direction)), want.numpy(), 1e-6)


def test_errors_are_linalg_errors() -> None:
    for call in (lambda: ingot.linalg.inv(ingot.zeros(2, 2)), lambda: ingot.linalg.solve(ingot.zeros(2, 2), ingot.ones(2)),
                 lambda: ingot.linalg.cholesky(-ingot.eye(2))):  # fmt: skip
        with pytest.raises(ingot.linalg.LinAlgError, match="singular|positive-definite"):
            call()


def test_compiled_functions_refuse_what_eager_ones_do() -> None:
    linalg, error = ingot.linalg, ingot.linalg.LinAlgError
    zero, bad = ingot.zeros(3, 3), ingot.full((3, 3), float("nan"))
    for fn, x, match in (
        (lambda a: linalg.solve(a, ingot.ones(3, 2)), zero, "solve: .*singular"), (linalg.inv, zero, "inv: .*singular"),
        (linalg.cholesky, -ingot.eye(3), "cholesky: .*positive-definite"), (linalg.lu_factor, zero, "lu_factor: a diagonal element"),
        (linalg.eigh, bad, "eigh: .*non-finite"), (linalg.svd, bad, "svd: .*non-finite"), (linalg.eig, bad, "eig: .*NaN"),
        (linalg.svdvals, bad, "svd: .*non-finite"), (linalg.ldl_factor, zero, "ldl_factor: a block of D"),
    ):  # fmt: skip
        compiled = ingot.compile(fn)
        good = ingot.eye(3) * 2
        for got, want in zip(ingot.utils._pytree.tree_leaves(compiled(good)), ingot.utils._pytree.tree_leaves(fn(good))):
            assert got.numpy().tolist() == want.numpy().tolist()
        for f in (fn, compiled):
            with pytest.raises(error, match=match):
                [t.numpy() for t in ingot.utils._pytree.tree_leaves(f(x))]
        compiled(good)
