"""The device "meta" as torch has it: shapes and dtypes of functions, texts, and errors."""

import pytest

import ingot
from ingot.nn import functional as F
from tests.torch.against import torch

CASES = {
    "matmul": lambda t, f, x, y: x @ y.mT,
    "promotion": lambda t, f, x, y: x.to(t.float16) + t.arange(4, device="meta"),
    "softmax": lambda t, f, x, y: f.softmax(x, -1, dtype=t.float64),
    "max": lambda t, f, x, y: x.max(1)[1],
    "cat": lambda t, f, x, y: t.cat([x, y], 0),
    "attention": lambda t, f, x, y: f.scaled_dot_product_attention(x[None], y[None], y[None]),
    "embedding": lambda t, f, x, y: f.embedding(t.zeros(2, 5, dtype=t.long, device="meta"), x),
    "view": lambda t, f, x, y: x[None, :, ::2].expand(2, -1, -1).transpose(1, 2),
    "pool": lambda t, f, x, y: f.max_pool1d(x[None], 2),
    "comparison": lambda t, f, x, y: (x > 0) & (x < 1),
}


@pytest.mark.parametrize("name", CASES)
def test_types(name):
    found = []
    for t, f in ((ingot, F), (torch, torch.nn.functional)):
        r = CASES[name](t, f, t.empty(3, 4, device="meta"), t.empty(5, 4, device="meta"))
        assert r.is_meta and str(r.device) == "meta"
        found.append((tuple(r.shape), tuple(r.stride()), str(r.dtype).rpartition(".")[2], repr(r).replace("torch.", "ingot.")))
    assert found[0] == found[1]


@pytest.mark.parametrize("t", (ingot, torch), ids=("ingot", "torch"))
def test_errors(t):
    x = t.empty(3, device="meta")
    for read in (lambda: x.to("cpu"), x.cpu, lambda: t.ones(3).copy_(x)):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
            read()
    with pytest.raises(RuntimeError):
        x.sum().item()
    with pytest.raises(NotImplementedError, match="to_empty"):
        t.nn.Linear(2, 2, device="meta").to("cpu")


@pytest.mark.parametrize("t", (ingot, torch), ids=("ingot", "torch"))
def test_what_a_block_means(t):
    r = t.ones(2)
    with t.device("meta"):
        there = [
            t.nn.Linear(2, 2).weight, t.as_tensor(r), t.asarray(r), t.hann_window(3), t.tril_indices(2, 2), t.randperm(3), t.tensor([1]),
            t.scalar_tensor(1.0), t.linspace(0, 1, 3), t.full((2,), 1), t.rand(2), t.signal.windows.hann(3),
        ]  # fmt: skip
        here = [
            t.zeros_like(r), t.rand_like(r), t.full_like(r, 1), r.new_zeros(2), r.new_tensor([1.0]), t.bernoulli(r), t.normal(r, r),
            t.complex(r, r), t.from_numpy(r.numpy()), t.frombuffer(bytearray(8), dtype=t.float32), t.FloatTensor(2), t.Tensor(2),
        ]  # fmt: skip
    assert [x.is_meta for x in there] == [True] * len(there)
    assert [x.is_meta for x in here] == [False] * len(here)
