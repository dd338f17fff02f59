"""LU factors, infos, and systems solved from factors or of tensors, against torch: values, gradients, batches, empty ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot
from tests.torch.against import compare


def square(*lead: int, n: int = 4, dtype: str = "float64") -> np.ndarray:
    return (np.random.default_rng(n + len(lead)).normal(size=(*lead, n, n)) + 2 * np.eye(n)).astype(dtype)


def right(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


def same(fn, *args: np.ndarray) -> None:
    single = any(a.dtype == np.float32 for a in args)
    tol = 2e-4 if single else 1e-9
    compare(lambda *a: fn(ingot, *a), lambda *a: fn(torch, *a), args, rtol=tol, atol=tol)


def definite(a):
    return a @ a.mT + 1.0


CASES = {
    "lu_factor": lambda m, a, b: m.linalg.lu_factor(a),
    "lu_factor_ex": lambda m, a, b: m.linalg.lu_factor_ex(a),
    "lu": lambda m, a, b: m.linalg.lu(a),
    "torch.lu": lambda m, a, b: m.lu(a, get_infos=True),
    "lu_unpack": lambda m, a, b: m.lu_unpack(*m.lu(a)),
    "lu_unpack data": lambda m, a, b: m.lu_unpack(*m.lu(a), unpack_pivots=False)[1:],
    "lu_unpack pivots": lambda m, a, b: m.lu_unpack(*m.lu(a.detach()), unpack_data=False),
    "lu_solve": lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b),
    "lu_solve adjoint": lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b, adjoint=True),
    "lu_solve right": lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b.mT, left=False),
    "lu_solve both": lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b.mT, left=False, adjoint=True),
    "torch.lu_solve": lambda m, a, b: m.lu_solve(b, *m.linalg.lu_factor(a)),
    "inv_ex": lambda m, a, b: m.linalg.inv_ex(a),
    "cholesky_ex": lambda m, a, b: m.linalg.cholesky_ex(definite(a)),
    "cholesky_ex upper": lambda m, a, b: m.linalg.cholesky_ex(definite(a), upper=True),
    "solve_ex": lambda m, a, b: m.linalg.solve_ex(a, b),
    "solve_ex right": lambda m, a, b: m.linalg.solve_ex(a, b.mT, left=False),
    "cholesky_solve": lambda m, a, b: m.cholesky_solve(b, m.linalg.cholesky(definite(a))),
    "cholesky_solve upper": lambda m, a, b: m.cholesky_solve(b, m.linalg.cholesky(definite(a), upper=True), upper=True),
    "cholesky_inverse": lambda m, a, b: m.cholesky_inverse(m.linalg.cholesky(definite(a))),
    "methods": lambda m, a, b: (b.lu_solve(*a.lu()), b.triangular_solve(a)[0], b.cholesky_solve(a.tril()), a.tril().cholesky_inverse()),
    "triangular_solve": lambda m, a, b: m.triangular_solve(b, a),
    "triangular_solve rest": lambda m, a, b: m.triangular_solve(b, a, False, True, True),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_systems(name: str) -> None:
    for lead, n, dtype in (((), 4, "float32"), ((2, 3), 3, "float64"), ((), 1, "float64"), ((0,), 3, "float64")):
        same(CASES[name], square(*lead, n=n, dtype=dtype), right(*lead, n, 2, dtype=dtype))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 3), (2, 3, 4), (3, 0), (0, 3), (6, 6)])
def test_factors_of_other_shapes(shape: tuple[int, ...]) -> None:
    if 0 in shape:
        with torch.no_grad():
            want = torch.linalg.lu(torch.zeros(shape))
        for g, w in zip(ingot.linalg.lu(ingot.zeros(shape)), want):
            np.testing.assert_array_equal(g.numpy(), w.numpy())
        return
    same(lambda m, a: m.linalg.lu_factor(a), right(*shape))
    same(lambda m, a: m.linalg.lu(a), right(*shape))


def test_broadcasting_and_tensors() -> None:
    same(lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b), square(2), right(3, 1, 4, 2))
    same(lambda m, a, b: m.cholesky_solve(b, m.linalg.cholesky(definite(a))), square(2), right(3, 1, 4, 2))
    same(lambda m, a: m.linalg.tensorinv(a.reshape(2, 3, 6)), square(n=6))
    same(lambda m, a: m.linalg.tensorinv(a.reshape(6, 3, 2), ind=1), square(n=6))
    same(lambda m, a, b: m.linalg.tensorsolve(a.reshape(2, 3, 6), b), square(n=6), right(2, 3))
    for x in (right(3), right(2, 3), right(1, 2, 2)):
        same(lambda m, x: m.linalg.vander(x), x)
        same(lambda m, x: m.linalg.vander(x, N=5), x)
    assert ingot.linalg.vander(ingot.tensor([1, 2, 3])).tolist() == [[1, 1, 1], [1, 2, 4], [1, 3, 9]]


def test_infos_say_where_a_matrix_fails() -> None:
    bad = np.stack([np.diag([1.0, 2, 0, 4]), np.eye(4), np.diag([0.0, 1, 1, 1])])
    for m, t in ((ingot, ingot.tensor), (torch, torch.tensor)):
        singular = m.linalg.inv_ex(t(bad)), m.linalg.lu_factor_ex(t(bad)), m.linalg.solve_ex(t(bad), t(bad))
        for result in (*singular, m.linalg.cholesky_ex(t(bad))):
            assert result.info.numpy().tolist() == [3, 0, 1] and result.info.numpy().dtype == np.int32
        for name in ("inv_ex", "lu_factor_ex", "cholesky_ex"):
            with pytest.raises(RuntimeError):
                getattr(m.linalg, name)(t(bad), check_errors=True)
        with pytest.raises(RuntimeError):
            m.linalg.solve_ex(t(bad), t(bad), check_errors=True)
        with pytest.raises(RuntimeError):
            m.linalg.lu_factor(t(bad))


@pytest.mark.parametrize(
    "expr",
    [
        "m.linalg.lu(m.zeros(3))", "m.linalg.lu(m.eye(2), pivot=False)", "m.linalg.vander(m.tensor([1., 2.]), N=1)",
        "m.linalg.vander(m.tensor([True, False]))", "m.linalg.tensorinv(m.eye(2), ind=0)", "m.linalg.tensorinv(m.ones(2, 3, 6), ind=1)",
        "m.linalg.tensorsolve(m.ones(2, 3, 6), m.ones(2, 2))", "m.cholesky_solve(m.ones(2), m.eye(2))",
        "m.cholesky_solve(m.ones(2, 1), m.eye(3))", "m.linalg.inv_ex(m.ones(2, 3))", "m.linalg.cholesky_ex(m.ones(2, 3))",
        "m.lu_unpack(m.eye(2), m.ones(2))", "m.linalg.lu_solve(m.eye(2), m.ones(2), m.eye(2))", "m.linalg.lu(m.ones(2, 2).long())",
    ],
)  # fmt: skip
def test_errors(expr: str) -> None:
    for m in (torch, ingot):
        with pytest.raises(RuntimeError):
            eval(expr, {"m": m})


def test_compiled() -> None:
    a, b = square(2), right(2, 4, 2)

    def solved(m, a, b):
        f, pivots, info = m.linalg.lu_factor_ex(a)
        return m.linalg.lu_solve(f, pivots, b) + m.linalg.inv_ex(a).inverse @ b + m.cholesky_solve(b, m.linalg.cholesky_ex(definite(a)).L)

    compare(ingot.compile(lambda a, b: solved(ingot, a, b)), lambda a, b: solved(torch, a, b), (a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_matrix_exp(scale: float) -> None:
    for shape in ((3, 3), (2, 4, 4), (1, 1), (2, 0, 3, 3)):
        a = right(*shape) * scale / 3
        a = a - np.eye(shape[-1]) * scale  # what is large shrinks
        same(lambda m, a: m.linalg.matrix_exp(a), a)
        same(lambda m, a: m.matrix_exp(a), a.astype(np.float32))
    np.testing.assert_array_equal(ingot.tensor([[0.0]]).matrix_exp().numpy(), [[1.0]])
    assert tuple(ingot.linalg.matrix_exp(ingot.zeros(2, 0, 0)).shape) == (2, 0, 0)
    both = [m.linalg.matrix_exp(t) for m, t in ((ingot, ingot.eye(2).double() * 300), (torch, torch.eye(2).double() * 300))]
    np.testing.assert_allclose(both[0].numpy(), both[1].numpy(), rtol=1e-11)
    with pytest.raises(RuntimeError):
        ingot.linalg.matrix_exp(ingot.ones(2, 3))
    for a in right(40, 4, 4) * scale:  # float32 keeps its digits, of turns too
        turn = (a - a.T).astype(np.float32)
        exact = torch.matrix_exp(torch.tensor(turn, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(ingot.matrix_exp(ingot.tensor(turn)).numpy(), exact, atol=1e-6 * max(scale, 1))


@pytest.mark.parametrize("shape, count", [((4, 3), 3), ((2, 5, 3), 2), ((3, 3), 3), ((3, 2), 0), ((0, 3, 2), 2), ((3, 0), 0)])
def test_products_of_reflections(shape: tuple[int, ...], count: int) -> None:
    a, _ = torch.geqrf(torch.tensor(right(*shape))) if all(shape) else (torch.zeros(shape, dtype=torch.float64), None)
    v = a.tril(-1)
    tau = (2 / (1 + (v * v).sum(-2)))[..., :count].contiguous().numpy()  # what makes Q orthogonal
    same(lambda m, a, t: m.linalg.householder_product(a, t), a.contiguous().numpy(), tau)
    same(lambda m, a, t: m.orgqr(a, t), a.contiguous().numpy(), tau)
    q = ingot.tensor(a.contiguous().numpy()).orgqr(ingot.tensor(tau))
    np.testing.assert_allclose((q.mT @ q).numpy(), np.broadcast_to(np.eye(shape[-1]), (*shape[:-2], shape[-1], shape[-1])), atol=1e-12)
    for wrong in ((a.mT, tau), (a, np.zeros((*shape[:-2], shape[-1] + 1)))) if shape == (4, 3) else ():
        for m, make in ((ingot, ingot.tensor), (torch, torch.tensor)):
            with pytest.raises(RuntimeError):
                m.linalg.householder_product(make(np.ascontiguousarray(wrong[0])), make(wrong[1]))
