import pytest

import ingot
from ingot import nn
from ingot.utils import swap_tensors


def test_everything_is_swapped():
    a, b = nn.Parameter(ingot.tensor([1.0, 2.0])), ingot.zeros(3)
    a.tag, a.grad = "a", ingot.ones(2)
    view = b[:2]
    swap_tensors(a, b)
    assert type(b) is nn.Parameter and type(a) is ingot.Tensor and b.tag == "a" and not hasattr(a, "tag")
    assert a.tolist() == [0, 0, 0] and b.tolist() == [1, 2] and b.grad.tolist() == [1, 1] and a.grad is None
    a.add_(1)
    assert view.tolist() == [1, 1]
    (b * 3).sum().backward()
    assert b.grad.tolist() == [4, 4]


def test_what_refers_to_one_finds_the_other():
    layer = nn.Linear(2, 1, bias=False)
    f = ingot.compile(lambda x: layer(x))
    x = ingot.ones(1, 2)
    f(x)
    swap_tensors(layer.weight, nn.Parameter(ingot.tensor([[5.0, 6.0]])))
    assert f(x).tolist() == layer(x).tolist() == [[11.0]]
    f(x).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1]]


def test_what_cannot_be_swapped():
    with pytest.raises(TypeError, match="expected two Tensors, got int"):
        swap_tensors(ingot.ones(1), 1)
    with pytest.raises(ingot.CaptureError, match="cannot swap tensors"):
        ingot.compile(lambda x: swap_tensors(x, x * 2))(ingot.ones(1))
