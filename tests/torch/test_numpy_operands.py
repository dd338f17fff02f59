"""NumPy arrays as operands of Tensors, old constructors, and names of arguments, against torch."""

import warnings

import numpy as np
import pytest
import torch

import ingot

ARRAYS = [np.ones(2, np.float32), np.full(2, 3.0), np.arange(1, 3), np.array([True, False]), np.array([[1.0], [2.0]], np.float32)]
BOTH_SIDES = {
    "add": lambda t, a: t + a, "mul": lambda t, a: t * a, "sub": lambda t, a: t - a, "div": lambda t, a: t / a,
    "pow": lambda t, a: t**a, "floordiv": lambda t, a: t // a, "mod": lambda t, a: t % a, "eq": lambda t, a: t == a,
    "ne": lambda t, a: t != a, "lt": lambda t, a: t < a, "ge": lambda t, a: t >= a,
}  # fmt: skip


@pytest.mark.parametrize("a", ARRAYS, ids=[f"{a.dtype}{a.shape}" for a in ARRAYS])
@pytest.mark.parametrize("op", BOTH_SIDES)
def test_tensor_and_array(op, a):
    f = BOTH_SIDES[op]
    if op in ("floordiv", "mod", "div") and a.dtype == bool:
        a = ~np.zeros_like(a)
    if op == "sub" and a.dtype == bool:
        pytest.skip("neither subtracts bools")
    got = f(ingot.tensor([1.5, 2.5]), a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = f(np.array([1.5, 2.5], np.float32), a)  # what torch does: it leaves them to NumPy, and wraps
    assert isinstance(got, ingot.Tensor) and got.dtype.numpy == want.dtype
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("a", ARRAYS[:3], ids=[str(a.dtype) for a in ARRAYS[:3]])
def test_array_and_tensor(a):
    t = ingot.tensor([1.5, 2.5])
    x = t.numpy()
    for got, want in [
        (a + t, a + x), (a - t, a - x), (a * t, a * x), (a / t, a / x), (a**t, a**x), (a == t, a == x),
        (a < t, a < x), (a @ t, a @ x), (t @ a, x @ a),
    ]:  # fmt: skip
        assert isinstance(got, ingot.Tensor) and got.dtype.numpy == want.dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_arrays_as_operands_are_differentiated_and_compiled():
    a = np.array([2.0, 3.0], np.float32)
    x = ingot.ones(2, requires_grad=True)
    (x * a + a * x).sum().backward()
    assert x.grad.tolist() == [4, 6]
    f = ingot.compile(lambda x: x * a - (x == a).float())
    assert f(ingot.tensor([2.0, 1.0])).tolist() == [3, 3]
    a[0] = 5
    assert f(ingot.tensor([2.0, 1.0])).tolist() == [10, 3]


def test_what_is_no_operand():
    t = ingot.ones(2)
    assert (t == "a") is False and (t != None) is True  # noqa: E711
    for bad in ("a", None, [1, 2], object()):
        with pytest.raises(TypeError):
            t + bad


CONSTRUCTED = [(), (2, 3), ([1, 2],), ((1, 2),), (3,), (np.arange(3),), ([[1.5], [2]],)]


@pytest.mark.parametrize("args", CONSTRUCTED, ids=repr)
def test_constructors(args):
    for name in ("Tensor", "FloatTensor", "LongTensor"):
        if name == "LongTensor" and args is CONSTRUCTED[-1]:
            continue
        got, want = getattr(ingot, name)(*args), getattr(torch, name)(*args)
        assert tuple(got.shape) == tuple(want.shape) and got.dtype.torch_name == str(want.dtype).removeprefix("torch.")
        if args and not isinstance(args[0], int):
            assert got.tolist() == want.tolist()
        assert getattr(ingot, name)(ingot.Size([2, 1])).shape == (2, 1)


def test_constructor_of_a_tensor_and_of_a_number():
    i = ingot.tensor([1, 2])
    t = ingot.Tensor(i)
    assert t.dtype is ingot.int64 and t.tolist() == [1, 2]
    i[0] = 7
    assert t.tolist() == torch.Tensor(torch.tensor([7, 2])).tolist()
    for bad in (2.5, True, "a"):
        with pytest.raises(TypeError, match="data must be a sequence"):
            ingot.Tensor(bad)
        with pytest.raises(TypeError):
            torch.Tensor(bad)


def test_split_by_keyword():
    t = ingot.arange(10)
    assert [p.tolist() for p in t.split(split_size=[3, 7], dim=0)] == [p.tolist() for p in torch.arange(10).split(split_size=[3, 7], dim=0)]
    assert [len(p) for p in t.split(4)] == [4, 4, 2]
    assert len(ingot.split(t, split_size_or_sections=5)) == 2
