"""copy.copy, copy.deepcopy and pickle of tensors, as torch's do."""

import copy
import pickle

import pytest

import ingot
from ingot import nn


class Tagged(ingot.Tensor):
    pass


def test_a_shallow_copy_shares_memory_and_attributes():
    x = ingot.ones(2)
    copy.copy(x).add_(1)
    assert x.tolist() == [2, 2]
    p = nn.Parameter(ingot.ones(2))
    p.tag, p.grad = [3], ingot.ones(2)
    q = copy.copy(p)
    assert type(q) is nn.Parameter and q.requires_grad and q.is_leaf and q.tag is p.tag and q.grad is None and q is not p
    z = copy.copy(p * 2)
    assert z.requires_grad and z.is_leaf and z.tolist() == [2, 2]
    assert type(copy.copy(x.as_subclass(Tagged))) is Tagged
    part = ingot.arange(4.0)[1:3]
    copy.copy(part).add_(1)
    assert part.tolist() == [2, 3]


def test_a_shallow_copy_in_a_compiled_function():
    x = ingot.ones(2)

    @ingot.compile
    def f(y):
        copy.copy(y).mul_(3)
        return copy.copy(y) + copy.deepcopy(y * 1).add_(1)

    for n in (3.0, 9.0):
        assert f(x).tolist() == [2 * n + 1] * 2 and x.tolist() == [n, n]


def test_what_shares_memory_does_so_in_a_deep_copy():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("w", ingot.arange(6.0).reshape(2, 3).clone())
            self.register_buffer("row", self.w[1])
            self.register_buffer("turned", self.w.detach().t())

    a = Net()
    b = copy.deepcopy(a)
    b.w.mul_(2)
    assert b.row.tolist() == [6, 8, 10] and b.turned[2].tolist() == [4, 10] and b.turned.stride() == (1, 3)
    assert a.w.tolist() == [[0, 1, 2], [3, 4, 5]] and a.row.tolist() == [3, 4, 5]
    x = ingot.arange(3.0).requires_grad_()
    y, part = copy.deepcopy([x, x.detach()[1:]])
    with ingot.no_grad():
        y.add_(1)
    assert y.requires_grad and y.is_leaf and part.tolist() == [2, 3] and not part.requires_grad and x.tolist() == [0, 1, 2]
    x = ingot.ones(3).t()
    one, two, three = copy.deepcopy([x, x[1:], x])
    one.add_(1)
    assert two.tolist() == [2, 2] and three is one and x.tolist() == [1, 1, 1]


def test_pickles_keep_attributes_and_take_what_was_computed():
    p = nn.Parameter(ingot.ones(2))
    p.tag = "a"
    q = pickle.loads(pickle.dumps(p))
    assert type(q) is nn.Parameter and q.tag == "a" and q.requires_grad
    x = ingot.ones(2)
    x.tag = [1]
    assert pickle.loads(pickle.dumps(x)).tag == [1]
    y = pickle.loads(pickle.dumps(p * 2))
    assert y.requires_grad and y.is_leaf and y.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(p * 2)
