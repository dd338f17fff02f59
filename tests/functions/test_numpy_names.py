"""NumPy's names of arguments: `axis` for `dim`, `keepdims` for `keepdim`, in functions and methods alike."""

import inspect

import pytest

import ingot
from ingot import linalg


@pytest.mark.parametrize(
    "call",
    [
        lambda T, x, dim: T.sum(x, **dim(1), **dim.kept()), lambda T, x, dim: x.mean(**dim(0), **dim.kept()),
        lambda T, x, dim: T.cat([x, x], **dim(1)), lambda T, x, dim: T.stack([x, x], **dim(1)),
        lambda T, x, dim: T.softmax(x, **dim(0)), lambda T, x, dim: x.argmax(**dim(1), **dim.kept()),
        lambda T, x, dim: x.max(**dim(1)).values, lambda T, x, dim: x.unsqueeze(**dim(1)), lambda T, x, dim: x.squeeze(**dim(0)),
        lambda T, x, dim: T.all(x > 0, **dim(1), **dim.kept()), lambda T, x, dim: x.sort(**dim(0)).indices,
        lambda T, x, dim: x.cumsum(**dim(1)), lambda T, x, dim: x.split(1, **dim(1))[1], lambda T, x, dim: x.norm(**dim(1)),
        lambda T, x, dim: T.linalg.norm(x, **dim(1), **dim.kept()), lambda T, x, dim: T.fft.fft(x, **dim(0)),
        lambda T, x, dim: x.clone().index_fill_(**dim(1), index=T.tensor([0]), value=7.0),
        lambda T, x, dim: x.repeat_interleave(2, **dim(1)),
    ],
)  # fmt: skip
def test_they_mean_the_same(call):
    class Names:
        def __init__(self, dim, keepdim):
            self.dim, self.keepdim = dim, keepdim

        def __call__(self, n):
            return {self.dim: n}

        def kept(self):
            return {self.keepdim: True}

    x = ingot.tensor([[3.0, -1.0, 2.0], [0.5, 4.0, 4.0]])
    a, b = (call(ingot, x, names) for names in (Names("dim", "keepdim"), Names("axis", "keepdims")))
    assert a.shape == b.shape and (a == b).all()


@pytest.mark.parametrize(
    ("by_name", "by_place"),
    [
        (lambda x: x.flip(dims=[0]), lambda x: x.flip(0)), (lambda x: x.permute(dims=(1, 0)), lambda x: x.permute(1, 0)),
        (lambda x: x.tile(dims=(2, 1)), lambda x: x.tile(2, 1)), (lambda x: x.reshape(shape=(3, 2)), lambda x: x.reshape(3, 2)),
        (lambda x: x.view(size=(3, 2)), lambda x: x.view(3, 2)), (lambda x: x.view(dtype=ingot.int32), lambda x: x.view(ingot.int32)),
        (lambda x: x[:1].expand(size=(4, 3)), lambda x: x[:1].expand(4, 3)), (lambda x: x.repeat(repeats=(2, 1)), lambda x: x.repeat(2, 1)),
        (lambda x: x.sum_to_size(size=(1, 3)), lambda x: x.sum_to_size(1, 3)),
        (lambda x: x.clone().resize_(size=(3,)), lambda x: x.clone().resize_(3)),
        (lambda x: x.swapaxes(axis0=0, axis1=1), lambda x: x.swapaxes(0, 1)),
        (lambda x: ingot.split(tensor=x, split_size_or_sections=1)[1], lambda x: ingot.split(x, 1)[1]),
        (lambda x: ingot.rand(size=(2, 3)) * 0, lambda x: ingot.rand(2, 3) * 0),
        (lambda x: ingot.randn(size=(2, 3)) * 0, lambda x: ingot.randn((2, 3)) * 0),
        (lambda x: ingot.randint(high=1, size=(2,)), lambda x: ingot.randint(1, (2,))),
    ],
)  # fmt: skip
def test_shapes_and_orders_come_by_name_too(by_name, by_place):
    x = ingot.tensor([[3.0, -1.0, 2.0], [0.5, 4.0, 4.0]])
    a, b = by_name(x), by_place(x)
    assert a.shape == b.shape and a.dtype == b.dtype and (a == b).all()


def test_a_shape_comes_once():
    x = ingot.ones(2, 3)
    for call in (lambda: x.reshape(6, shape=(6,)), lambda: x.view(6, size=(6,)), lambda: x.view(size=(6,), dtype=ingot.int32),
                 lambda: x.flip(0, dims=(0,)), lambda: ingot.rand(2, size=(2,)), lambda: ingot.rand(2, sizes=(2,))):  # fmt: skip
        with pytest.raises(TypeError):
            call()


def test_every_function_with_a_dim_takes_an_axis():
    python_in_torch = {"associative_scan", "scan", "mark_dynamic", "mark_static", "cosine_similarity", "pairwise_distance"}
    python_in_torch |= {"unique", "unique_consecutive"}
    native = {"native_norm", "norm_except_dim", "nuclear_norm", "unsafe_split_with_sizes"}
    native |= {"_softmax_backward_data", "_log_softmax_backward_data"}
    tried = 0
    for space in (ingot, linalg, ingot.fft, ingot.special):
        for name in space.__all__ if space is not ingot else dir(ingot):
            fn = getattr(space, name)
            if inspect.isfunction(fn) and "dim" in inspect.signature(fn).parameters and name not in python_in_torch | native:
                with pytest.raises(TypeError, match="NumPy's name of the same"):
                    fn(ingot.ones(2), dim=0, axis=0)
                tried += 1
    assert tried > 80


def test_a_tensor_of_one_int_is_an_int():
    x, n = ingot.arange(6).view(2, 3), ingot.tensor(1)
    pairs = [
        (x.roll(n, n - 1), x.roll(1, 0)), (x.flip(n), x.flip(1)), (x.sum(n), x.sum(1)), (x.movedim(n, n - 1), x.movedim(1, 0)),
        (x.as_strided((2, n), (n, 1), n), x.as_strided((2, 1), (1, 1), 1)), (x.unfold(n, n + 1, n), x.unfold(1, 2, 1)),
        (x[:, :n].expand((2, n + 1)), x[:, :1].expand(2, 2)), (ingot.randperm(n), ingot.tensor([0])),
    ]  # fmt: skip
    for a, b in pairs:
        assert a.shape == b.shape and (a == b).all()


def test_strides_of_views():
    b = ingot.arange(24.0).reshape(4, 6).requires_grad_()
    v = (b * 2).t()[1:]
    y = v.as_strided((2, 3), (1, 6))
    assert y.tolist() == [[2, 14, 26], [4, 16, 28]] and y.storage_offset() == 1
    (y * ingot.arange(6.0).view(2, 3)).sum().backward()
    assert b.grad[:3, 1].tolist() == [0, 2, 4] and b.grad[:3, 2].tolist() == [6, 8, 10] and b.grad.sum().item() == 30
    w = ingot.zeros(5)
    w[1:3].as_strided((2,), (2,)).fill_(7)
    assert w.tolist() == [0, 7, 0, 7, 0]
    leaf = b.detach()[1:].requires_grad_()
    (leaf.as_strided((2, 2), (6, 1)) * ingot.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert leaf.grad[:2, :3].tolist() == [[1, 2, 0], [3, 4, 0]] and leaf.as_strided((), ()).item() == 6
    bits = b.detach().view(ingot.int32).t()
    assert (bits.as_strided((2,), (6,)) == bits[0, :2]).all() and bits.as_strided((0,), (1,)).shape == (0,)
    with pytest.raises(RuntimeError, match="has not all"):
        leaf.as_strided((2,), (1,), 0)


def test_the_older_orders_of_arguments():
    x, a, b = ingot.ones(2), ingot.tensor([1.0, 2.0]), ingot.tensor([2.0, 4.0])
    assert x.add(3, a).tolist() == [4, 7] and ingot.sub(x, 3, a).tolist() == [-2, -5] and x.clone().add_(-0.5, a).tolist() == [0.5, 0]
    assert x.addcmul(2, a, b).tolist() == [5, 17] and x.clone().addcdiv_(2, a, b).tolist() == [2, 2]
