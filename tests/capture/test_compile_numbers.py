"""ingot.compile: numbers, and tensors made of them, have the dtype that they have uncompiled."""

import pytest

import ingot

HALF = ingot.tensor([1.0, -2.0, 3.0], dtype=ingot.bfloat16)
ZERO_DIM = ingot.tensor(2.0, dtype=ingot.float16)
INTS = ingot.tensor([1, 2, 3])
X = ingot.tensor([0.5, -1.5, 2.5])

MADE = {  # of a float `a` that the function is called with, or of numbers in it
    "ones": lambda a: HALF + ingot.ones(3),
    "ones of rank 0": lambda a: ZERO_DIM + ingot.ones(()),
    "a function of ones": lambda a: ZERO_DIM + ingot.ones(()).sqrt(),
    "zeros_like": lambda a: HALF + ingot.zeros_like(X),
    "ones of a dtype": lambda a: INTS + ingot.ones(3, dtype=ingot.float64),
    "ones of an integer dtype": lambda a: ingot.tensor([1], dtype=ingot.int8) + ingot.ones(3, dtype=ingot.int64),
    "sums of ones": lambda a: ZERO_DIM + ingot.ones(3).sum(),
    "linspace": lambda a: HALF + ingot.linspace(0, 1, 3),
    "joined": lambda a: ingot.cat([HALF, ingot.zeros(2)]),
    "full": lambda a: ingot.full((3,), a),
    "full and half": lambda a: HALF + ingot.full((3,), a),
    "full of a dtype": lambda a: ingot.full((3,), a, dtype=ingot.float16),
    "scalar_tensor": lambda a: ZERO_DIM + ingot.scalar_tensor(a),
    "tensor": lambda a: ingot.tensor(a),
    "tensor and half": lambda a: ZERO_DIM + ingot.tensor(a),
    "as_tensor": lambda a: ingot.as_tensor(a),
    "where of numbers": lambda a: ingot.where(X > 0, a, 0.0),
    "where of a tensor": lambda a: ingot.where(X > 0, HALF, a),
    "arithmetic": lambda a: HALF * (a * 2 + 1) - a**2,
    "integers": lambda a: INTS * (a * 2),
    "alpha": lambda a: ingot.sub(HALF, HALF, alpha=a),
    "quantile": lambda a: ingot.quantile(X, a / 10),
    "scatter": lambda a: HALF.scatter(0, INTS - 1, a),
    "fill_": lambda a: HALF.clone().fill_(a),
}


@pytest.mark.parametrize("f", MADE.values(), ids=MADE)
@pytest.mark.parametrize("default", [ingot.float32, ingot.float64], ids=["float32", "float64"])
def test_dtypes_of_what_is_made_of_numbers(f, default):
    ingot.set_default_dtype(default)
    try:
        want, got = f(2.5), ingot.compile(f)(2.5)
    finally:
        ingot.set_default_dtype(ingot.float32)
    assert got.dtype is want.dtype and ingot.allclose(got, want)
