"""Views share memory with their base: writes go through, in both directions, and strides tell where."""

from __future__ import annotations

import numpy as np
import pytest

import ingot

VIEWS = {
    "x[0]": lambda x: x[0], "x[1:, ::2]": lambda x: x[1:, ::2], "x[:, None]": lambda x: x[:, None], "x.T": lambda x: x.T,
    "x.permute": lambda x: x.permute(1, 2, 0), "x.view": lambda x: x.view(4, 9), "x.reshape": lambda x: x.reshape(-1),
    "x.flatten": lambda x: x.flatten(1),
    "x.unsqueeze": lambda x: x.unsqueeze(-1), "x.squeeze": lambda x: x[:1].squeeze(0), "x.narrow": lambda x: x.narrow(1, 1, 2),
    "x.select": lambda x: x.select(2, 1), "x.split": lambda x: x.split(2, 1)[1], "x.chunk": lambda x: x.chunk(3)[2],
    "x.unbind": lambda x: x.unbind(1)[3],
    "x.diagonal": lambda x: x.diagonal(0, 0, 2), "x.diagonal(1)": lambda x: x.diagonal(1, 1, 0), "x.T.diagonal": lambda x: x.T.diagonal(-1),
    "x.unfold": lambda x: x.unfold(1, 2, 2), "x.movedim": lambda x: x.movedim(0, -1), "x.tensor_split": lambda x: x.tensor_split(2, 1)[0],
    "x.expand": lambda x: x.expand(3, 4, 3), "x.swapaxes": lambda x: x.swapaxes(0, 1), "x.unflatten": lambda x: x.unflatten(1, (2, 2)),
    "x[...]": lambda x: x[...], "x[()]": lambda x: x[()], "chain": lambda x: x[1:].transpose(0, 2)[:, 1:].diagonal(),
}  # fmt: skip


def base() -> ingot.Tensor:
    return ingot.arange(36, dtype=ingot.float32).reshape(3, 4, 3).clone()


@pytest.mark.parametrize("name", VIEWS)
def test_write_through_a_view(name: str) -> None:
    x, expected = base(), base().numpy().copy()
    v = VIEWS[name](x)
    w = VIEWS[name](ingot.from_numpy(np.arange(36, dtype=np.int64).reshape(3, 4, 3)))
    places = w.numpy().copy()
    v.mul_(10).add_(1)
    expected.reshape(-1)[places.reshape(-1)] = expected.reshape(-1)[places.reshape(-1)] * 10 + 1
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_sees_writes_to_its_base(name: str) -> None:
    x = base()
    v = VIEWS[name](x)
    before = v.numpy().copy()
    x += 100
    np.testing.assert_array_equal(v.numpy(), before + 100)


@pytest.mark.parametrize("name", VIEWS)
def test_strides_and_offset_say_where_the_elements_are(name: str) -> None:
    x = base()
    v = VIEWS[name](x)
    memory = np.arange(36, dtype=np.float32)
    seen = np.lib.stride_tricks.as_strided(memory[v.storage_offset() :], tuple(v.shape), [4 * s for s in v.stride()])
    np.testing.assert_array_equal(v.numpy(), seen)
    shared = v.numpy()
    if name == "x.expand":
        assert not shared.flags.writeable
        return
    shared[...] = -1  # NumPy writes are seen by the base
    assert (x == -1).sum().item() == v.numel()


def test_a_gradient_flows_through_a_written_view() -> None:
    a = ingot.ones(3, 3, requires_grad=True)
    b = ingot.ones(3, requires_grad=True)
    x = a * 2
    x.diagonal().copy_(b * 3)
    x[0] *= 5
    x.sum().backward()
    assert a.grad.tolist() == [[0, 10, 10], [2, 0, 2], [2, 2, 0]]
    assert b.grad.tolist() == [15, 3, 3]


@pytest.mark.parametrize("make", [lambda x: x.expand(2, 3), lambda x: x[[0, 1]], lambda x: x.flip(0)])
def test_copies_and_expansions_do_not_write_through(make) -> None:
    x = ingot.arange(3)
    v = make(x)
    if v.ndim == 2:
        with pytest.raises(RuntimeError, match="single memory location"):
            v.add_(1)
    else:
        v.add_(1)
    assert x.tolist() == [0, 1, 2]


def test_view_refuses_what_strides_cannot_express() -> None:
    x = ingot.ones(2, 3)
    with pytest.raises(RuntimeError, match="reshape"):
        x.T.view(6)
    assert x.T.reshape(6).shape == (6,)
    assert not x.T.is_contiguous() and x.T.contiguous().is_contiguous()
