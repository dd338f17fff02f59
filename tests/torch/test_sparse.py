"""Sparse tensors against torch: parts, conversions, products, sums, gradients, text, errors, sparse gradients of embeddings."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import ingot

warnings.filterwarnings("ignore", message="Sparse")
A = np.array([[0.0, 2.0, 0.0, 1.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [4.0, 5.0, 0.0, 6.0]], np.float32)
B = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
I, V = [[0, 0, 2, 0], [1, 3, 0, 1]], [1.0, 2.0, 3.0, 4.0]  # an index comes twice


def parts(t) -> list:
    """What a result is made of, as arrays."""
    if isinstance(t, (tuple, list)):
        return [p for x in t for p in parts(x)]
    if not isinstance(t, (ingot.Tensor, torch.Tensor)):
        return [t]
    layout = str(t.layout).split(".")[1]
    dense = t.to_dense() if layout != "strided" else t
    found = [layout, tuple(t.shape), str(t.dtype).split(".")[1], dense.detach().numpy()]
    if layout == "sparse_coo":
        c = t.coalesce()
        found += [c.indices().numpy(), c.values().detach().numpy()]
    elif layout != "strided":
        names = ("crow_indices", "col_indices") if layout in ("sparse_csr", "sparse_bsr") else ("ccol_indices", "row_indices")
        found += [getattr(t, n)().numpy() for n in names] + [t.values().detach().numpy()]
    return found


def same(expr: str, grad: bool = True) -> None:
    found = []
    for m in (ingot, torch):
        names = {"a": m.tensor(A), "b": m.tensor(B), "v": m.tensor(V)}
        for t in names.values():
            t.requires_grad_(grad)
        names |= {"s": m.sparse_coo_tensor(m.tensor(I), names["v"], (4, 4)), "d": names["a"].to_sparse(), "c": names["a"].to_sparse_csr()}
        out = eval(expr, {"m": m, "np": np, **names})
        got = parts(out)
        if grad:
            whole = out.to_dense() if str(out.layout) != "torch.strided" and str(out.layout) != "ingot.strided" else out
            if whole.requires_grad:
                w = m.tensor(np.cos(np.arange(whole.numel())).astype(np.float32).reshape(tuple(whole.shape)))
                leaves = [names[k] for k in "abv"]
                grads = m.autograd.grad((whole * w).sum(), leaves, allow_unused=True)
                kept = [A != 0, 1, 1]  # gradients of a sparse tensor are at its indices; torch has them elsewhere for some functions
                got += [np.zeros(0) if g is None else g.to_dense().numpy() * k for g, k in zip(grads, kept)]
        found.append(got)
    assert len(found[0]) == len(found[1]), expr
    for mine, theirs in zip(*found):
        if isinstance(theirs, np.ndarray):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6, err_msg=expr)
        else:
            assert mine == theirs, expr


VALUES = [
    "m.nn.functional.linear(s, b.t(), v[:3])",
    "s", "s.coalesce()", "s.to_dense()", "d.to_dense()", "c.to_dense()", "s @ b", "d @ b", "c @ b", "m.sparse.mm(s, b)", "m.mm(d, b)",
    "m.spmm(d, b)", "m.matmul(d, b[:, 0])", "m.mv(d, b[:, 0])", "b.t() @ d", "m.sparse.mm(s, d)", "m.sparse.addmm(b, d, b)",
    "m.addmm(b, d, b)", "m.sparse.addmm(b, s, b, beta=2, alpha=3)", "s + d", "s - d", "(s * d).to_dense()", "d * 2", "2 * d", "d / 2",
    "-d", "d.t()", "d.transpose(0, 1)", "s.t().coalesce()", "m.sparse.sum(s)", "m.sparse.sum(s, 0)", "m.sparse.sum(s, (0, 1))",
    "d.sum()", "m.sparse.softmax(d, 1)", "m.sparse.softmax(d, 0)", "m.sparse.log_softmax(s, 1)", "s.relu()", "d.pow(2)", "d.abs()",
    "m.add(b[:, :1].expand(4, 4), d)", "b[:, :1] * d.to_dense()", "d.double()",
]  # fmt: skip


@pytest.mark.parametrize("expr", VALUES)
def test_values_and_gradients(expr: str) -> None:
    same(expr)


PLAIN = [  # torch has no gradients for some of them
    "c.t()", "c.t().t()", "c.transpose(1, 0) @ a", "a.to_sparse_csc().t()",
    "m.nn.functional.linear(d, a, v[:4])", "m._convert_indices_from_coo_to_csr(m.tensor([0, 2, 2]), 4)", "d._coalesced_(True).values()",
    "m._convert_indices_from_csr_to_coo(c.crow_indices(), c.col_indices(), out_int32=True)",
    "m._convert_indices_from_csr_to_coo(c.crow_indices(), c.col_indices(), transpose=True)",
    "d.sqrt()", "s.sin()", "m.cat([d, s], 0).coalesce()", "m.cat([d, s], 1).coalesce()", "d.unsqueeze(0)",
    "d.index_select(0, m.tensor([3, 0, 3]))", "a.to_sparse(1)", "a.to_sparse_csc()", "a.to_sparse_bsr((2, 2))",
    "a.to_sparse_bsc((2, 1))", "a.to_sparse(layout=m.sparse_csr)", "d.to_sparse_csr()", "d.to_sparse_csc()", "c.to_sparse()",
    "c.to_sparse_csc()", "a.to_sparse_bsr((2, 2)).to_sparse()", "m.stack([a, a * 2]).to_sparse_csr()",
    "m.stack([a, a * 2]).to_sparse_csr().to_dense()", "m.sparse_coo_tensor([[0, 2]], [[1., 2.], [3., 4.]])",
    "m.sparse_coo_tensor(m.zeros(2, 0, dtype=m.int64), m.zeros(0), (3, 2))", "m.sparse_coo_tensor((2, 3))", "m.zeros(0, 3).to_sparse()",
    "m.sparse_csr_tensor([0, 1, 2], [1, 0], [1., 2.])", "m.sparse_csc_tensor([0, 1, 2], [1, 0], [1., 2.], (3, 2))",
    "m.sparse_bsr_tensor([0, 1], [1], [[[1., 2.], [3., 4.]]], (2, 4))",
    "m.sparse.spdiags(m.arange(6.).reshape(2, 3), m.tensor([-1, 1]), (3, 3))", "a.sparse_mask(s.coalesce())",
    "m.bmm(m.stack([a, a]).to_sparse(), m.stack([b, b]))", "m.sparse.sampled_addmm(c, b, b.t(), beta=0.5, alpha=2.)",
    "m.sspaddmm(d, d, m.eye(4)).to_dense()", "d[0]", "m.smm(d, b).to_dense()", "m.hspmm(d, b)",
    "(d._nnz(), d.sparse_dim(), d.dense_dim(), s.is_coalesced(), d.is_coalesced(), d.is_sparse, c.is_sparse, c.is_sparse_csr)",
    "m.sparse.softmax(a.to_sparse(1), 1)", "m.sparse.sum(a.to_sparse(1), 1)", "m.sparse.sum(a.to_sparse(1), 0)",
    "a.bool().to_sparse().to_dense()", "m.sparse.sum(a.long().to_sparse(), 0)", "d.norm()", "s.clone().mul_(3)", "s.clone().add_(d)",
    "s.clone().zero_()", "c * 2", "c.sin()",
]  # fmt: skip


@pytest.mark.parametrize("expr", PLAIN)
def test_values(expr: str) -> None:
    same(expr, False)


def test_text() -> None:
    for expr in ("a.to_sparse()", "a.to_sparse_csr()", "a.double().to_sparse_csc()", "m.sparse_coo_tensor([[0, 1]], [1, 2], (3,))",
                 "a.to_sparse().requires_grad_()"):  # fmt: skip
        mine, theirs = (repr(eval(expr, {"m": m, "a": m.tensor(A)})) for m in (ingot, torch))
        assert mine.replace("ingot.", "torch.") == theirs


ERRORS = [
    "m.sparse_coo_tensor([[0, 5]], [1., 2.], (3,))", "m.sparse_coo_tensor([[0, -1]], [1., 2.], (3,))",
    "m.sparse_coo_tensor([[0]], [1., 2.])", "s.values()", "s.indices()", "a.coalesce()", "a.values()", "c.indices()", "d @ m.ones(3, 1)",
    "d + 1", "s.pow(0)", "a.to_sparse_bsr((3, 2))", "m.sparse_csr_tensor([0, 1], [5], [1.], (1, 3))", "d.numpy()",
]  # fmt: skip


@pytest.mark.parametrize("expr", ERRORS)
def test_errors(expr: str) -> None:
    a = ingot.tensor(A)
    with pytest.raises((RuntimeError, TypeError, IndexError)):
        eval(expr, {"m": ingot, "a": a, "d": a.to_sparse(), "c": a.to_sparse_csr(), "s": ingot.sparse_coo_tensor(I, V, (4, 4))})


def test_a_function_of_dense_tensors_says_what_it_was_given() -> None:
    s = ingot.tensor(A).to_sparse()
    assert isinstance(s, ingot.Tensor) and ingot.is_tensor(s)
    for call in (ingot.exp, lambda x: ingot.softmax(x, 0), lambda x: x.reshape(16), ingot.nn.LayerNorm(4)):
        with pytest.raises(RuntimeError, match="to_dense"):
            call(s)


def test_leaves_have_sparse_gradients() -> None:
    for m in (ingot, torch):
        s = m.sparse_coo_tensor(m.tensor(I), m.tensor(V), (4, 4), requires_grad=True)
        m.sparse.mm(s, m.tensor(B)).sum().backward()
        assert s.grad.is_sparse and s.is_leaf
        np.testing.assert_allclose(s.grad.to_dense().numpy()[2, 0], B[0].sum(), rtol=1e-5)


def test_copies_and_files(tmp_path) -> None:
    a = ingot.tensor(A)
    for t in (a.to_sparse(), ingot.sparse_coo_tensor(I, V, (4, 4)), a.to_sparse_csr(), a.to_sparse_bsr((2, 2))):
        ingot.save({"t": t}, tmp_path / "t.pt")
        for again in (copy.deepcopy(t), pickle.loads(pickle.dumps(t)), ingot.load(tmp_path / "t.pt")["t"]):
            assert again.layout is t.layout and again._coalesced == t._coalesced
            np.testing.assert_array_equal(again.to_dense().numpy(), t.to_dense().numpy())
    module = ingot.nn.Module()
    module.register_buffer("adjacency", ingot.tensor(A).to_sparse())
    other = ingot.nn.Module()
    other.register_buffer("adjacency", ingot.zeros(4, 4).to_sparse())
    other.load_state_dict(module.state_dict())
    np.testing.assert_array_equal(other.adjacency.to_dense().numpy(), A)
    assert module.double().adjacency.dtype is ingot.float64


def test_a_sparse_matrix_in_a_compiled_function() -> None:
    s = ingot.tensor(A).to_sparse()
    f = ingot.compile(lambda x: (s @ x).relu())
    g = ingot.compile(lambda a, x: a @ x)
    for m in (A, A * 3, np.ones_like(A)):  # its parts are arguments, like any tensor's attributes
        np.testing.assert_allclose(g(ingot.tensor(m).to_sparse(), ingot.tensor(B)).numpy(), m @ B, rtol=1e-5)
    assert g.stats["traces"] == 2
    for k in (1, 2):
        np.testing.assert_allclose(f(ingot.tensor(B) * k).numpy(), np.maximum(A @ B * k, 0), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}])
def test_embeddings_with_sparse_gradients(options: dict) -> None:
    found = []
    w = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    for m in (ingot, torch):
        table = m.nn.Embedding(5, 3, sparse=True, **options)
        table.weight.data = m.tensor(w)
        for _ in range(2):
            (table(m.tensor([[1, 2], [2, 4]])) ** 2).sum().backward()
        g = table.weight.grad
        assert g.is_sparse and not g.is_coalesced()
        found.append([g.coalesce().indices().numpy(), g.to_dense().numpy()])
        (table.weight * 2).sum().backward()  # now a dense one, too
        found[-1].append(table.weight.grad.to_dense().numpy())
    for mine, theirs in zip(*found):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    ["SGD(p, lr=0.1)", "SGD(p, lr=0.1, momentum=0.9)", "SGD(p, lr=0.1, maximize=True)", "Adagrad(p, lr=0.1)", "SparseAdam(p, lr=0.1)",
     "SparseAdam(p, lr=0.1, betas=(0.5, 0.9), maximize=True)"],
)  # fmt: skip
def test_optimizers_take_sparse_gradients(optimizer: str) -> None:
    found = []
    w = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    for m in (ingot, torch):
        bag = m.nn.EmbeddingBag(6, 3, sparse=True, mode="sum")
        bag.weight.data = m.tensor(w)
        o = eval(f"m.optim.{optimizer}", {"m": m, "p": list(bag.parameters())})
        for i in range(3):
            o.zero_grad()
            (bag(m.tensor([[1, 2], [i, 4]])) ** 2).sum().backward()
            o.step()
        found.append(bag.weight.detach().numpy())
    np.testing.assert_allclose(*found, rtol=2e-5, atol=1e-6)


def test_optimizers_that_take_none_say_so() -> None:
    table = ingot.nn.Embedding(3, 2, sparse=True)
    table(ingot.tensor([1])).sum().backward()
    before = table.weight.detach().numpy().copy()
    for o in (ingot.optim.Adam(table.parameters()), ingot.optim.SGD(table.parameters(), weight_decay=0.1)):
        with pytest.raises(RuntimeError, match="sparse gradients"):
            o.step()
    np.testing.assert_array_equal(before, table.weight.detach().numpy())
    dense = ingot.nn.Parameter(ingot.ones(2))
    dense.sum().backward()
    with pytest.raises(RuntimeError, match="dense gradients"):
        ingot.optim.SparseAdam([dense]).step()


@pytest.mark.parametrize("m", [ingot, torch])
def test_types_by_dtype(m) -> None:
    s = m.sparse.FloatTensor(m.tensor([[0, 1], [1, 0]]), m.tensor([3.0, 4.0]), m.Size([2, 3]))
    assert s.to_dense().tolist() == [[0, 3, 0], [4, 0, 0]] and m.sparse.FloatTensor(2, 3).shape == (2, 3)
    assert isinstance(s, m.sparse.FloatTensor) and not isinstance(s, m.sparse.DoubleTensor)
    assert not isinstance(s.to_dense(), m.sparse.FloatTensor)
