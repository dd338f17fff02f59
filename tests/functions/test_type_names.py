"""Tensor.type: with a dtype, a legacy type, or the name that type() gives."""

import pytest

import ingot


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16", "int64", "int16", "uint8", "bool", "complex64"])
def test_the_name_of_a_type_gives_that_type(name: str) -> None:
    like = ingot.zeros(1, dtype=getattr(ingot, name))
    made = ingot.ones(2).type(like.type())
    assert made.dtype is like.dtype and made.type() == like.type()
    assert ingot.ones(2).type(like.type().replace("ingot", "torch")).dtype is like.dtype


def test_legacy_types() -> None:
    x = ingot.tensor([1.5, -2.5])
    assert x.type(ingot.LongTensor).tolist() == [1, -2] and x.type(ingot.DoubleTensor).dtype is ingot.float64
    assert x.type(ingot.FloatTensor) is x and x.type("torch.FloatTensor") is x
    assert ingot.compile(lambda v: v.type(x.type()) + 1)(ingot.tensor([1])).tolist() == [2.0]


@pytest.mark.parametrize("name", ["FloatTensor", "torch.Float", "numpy.FloatTensor", "ingot.mps.FloatTensor", "float32", ""])
def test_other_names_are_errors(name: str) -> None:
    with pytest.raises(ValueError, match="invalid type"):
        ingot.ones(1).type(name)
