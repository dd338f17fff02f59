"""What arguments may be: `out` of another shape, parameters of another dtype, bounds that are NaN, lists of nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import ingot

NAN = float("nan")
WRITTEN = {
    "add": lambda m, out: m.add(m.ones(3), 1, out=out),
    "sum": lambda m, out: m.sum(m.ones(2, 3), 0, out=out),
    "arange": lambda m, out: m.arange(3, out=out),
    "cat": lambda m, out: m.cat([m.ones(1), m.ones(2)], out=out),
    "diag": lambda m, out: m.diag(m.ones(3, 4), 1, out=out),
    "nothing": lambda m, out: m.add(m.ones(0, 3), 1, out=out),
    "first of two": lambda m, out: m.aminmax(m.ones(3, 2), dim=1, out=(out, m.empty(0)))[0],
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("shape", [(0,), (2, 2), (7,)])
def test_out_gets_the_shape_of_the_result(name: str, shape: tuple) -> None:
    made = []
    for m in (ingot, torch):
        out = m.zeros(shape)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert WRITTEN[name](m, out) is out
        made.append((out.tolist(), bool(said)))
    if not (name == "nothing" and shape == (0,)):
        assert made[0] == made[1]


def test_out_that_cannot_be_another() -> None:
    buffer = ingot.zeros(6)
    for out in (buffer[:0], buffer[::2]):  # a view stays what it is
        with pytest.raises(RuntimeError, match="doesn't match"):
            ingot.add(ingot.ones(4), 1, out=out)
    with pytest.raises(RuntimeError, match="can't be cast"):
        ingot.add(ingot.ones(4), 1, out=ingot.zeros(0, dtype=ingot.int64))
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        ingot.add(ingot.ones(4), 1, out=ingot.zeros(3, requires_grad=True))
    given = ingot.zeros(0)
    with pytest.raises(RuntimeError, match=r"f32\[4\] where f32\[0\] was"):  # only what is made inside may grow
        ingot.compile(lambda x, out: ingot.add(x, 1, out=out))(ingot.ones(4), given)
    assert given.shape == (0,)


F = {
    "linear": (lambda m, x, w, b: m.nn.functional.linear(x, w, b), [(2, 3), (4, 3), (4,)]),
    "conv1d": (lambda m, x, w, b: m.nn.functional.conv1d(x, w, b), [(1, 2, 5), (3, 2, 2), (3,)]),
    "layer_norm": (lambda m, x, w, b: m.nn.functional.layer_norm(x, (3,), w, b), [(2, 3), (3,), (3,)]),
    "group_norm": (lambda m, x, w, b: m.nn.functional.group_norm(x, 1, w, b), [(2, 3), (3,), (3,)]),
    "instance_norm": (lambda m, x, w, b: m.nn.functional.instance_norm(x, weight=w, bias=b), [(2, 3, 4), (3,), (3,)]),
    "batch_norm": (lambda m, x, w, b: m.nn.functional.batch_norm(x, None, None, w, b, True), [(2, 3), (3,), (3,)]),
    "prelu": (lambda m, x, w, b: m.nn.functional.prelu(x, w), [(2, 3), (3,), (3,)]),
    "binary_cross_entropy": (lambda m, x, w, b: m.nn.functional.binary_cross_entropy(x.sigmoid(), w.sigmoid()), [(3,), (3,), (3,)]),
    "kl_div": (lambda m, x, w, b: m.nn.functional.kl_div(x, w), [(3,), (3,), (3,)]),
    "mse_loss": (lambda m, x, w, b: m.nn.functional.mse_loss(x, w), [(3,), (3,), (3,)]),
    "smooth_l1_loss": (lambda m, x, w, b: m.nn.functional.smooth_l1_loss(x, w), [(3,), (3,), (3,)]),
}
DTYPES = [
    ("float32", "float32", "float32"), ("float32", "float64", "float64"), ("float32", "float32", "float64"),
    ("bfloat16", "float32", "float32"), ("bfloat16", "bfloat16", "float32"), ("float64", "float32", "float32"),
    ("float32", "bool", "bool"),
]  # fmt: skip


@pytest.mark.parametrize("name", F)
def test_dtypes_that_meet(name: str) -> None:
    """What torch refuses is refused, what it takes is taken and has its dtype."""
    f, shapes = F[name]
    for dtypes in DTYPES:
        seen = []
        for m in (ingot, torch):
            args = [m.ones(s).to(getattr(m, d)) for s, d in zip(shapes, dtypes)]
            try:
                seen.append(str(f(m, *args).dtype).split(".")[1])
            except (RuntimeError, NotImplementedError):
                seen.append("refused")
        assert seen[0] == seen[1], (dtypes, seen)


@pytest.mark.parametrize(("low", "high"), [(-1.0, NAN), (NAN, NAN), (None, NAN), (NAN, None)])
def test_bounds_that_are_no_numbers(low: float | None, high: float | None) -> None:
    found = []
    for m in (ingot, torch):
        x = m.tensor([-2.0, 0.0, 2.0, NAN], requires_grad=True)
        bounds = [None if b is None else m.tensor(b, requires_grad=True) for b in (low, high)]
        y = m.clamp(x, *bounds)
        y.sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy(), *(b.grad.numpy() for b in bounds if b is not None)])
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


def test_lists_of_nothing() -> None:
    for name in ("cat", "stack", "hstack", "vstack", "dstack", "column_stack"):
        errors = []
        for m in (ingot, torch):
            with pytest.raises((ValueError, RuntimeError)) as e:
                getattr(m, name)([])
            errors.append(e.type)
        assert errors[0] is errors[1], name
