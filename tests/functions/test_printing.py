"""What tensors print as."""

from __future__ import annotations

import ingot

CASES = {
    "tensor(1.5000)": lambda: ingot.tensor(1.5), "tensor(3)": lambda: ingot.tensor(3), "tensor([])": lambda: ingot.tensor([]),
    "tensor([1., 2.])": lambda: ingot.tensor([1.0, 2.0]), "tensor([ 1.5000, -2.0000])": lambda: ingot.tensor([1.5, -2.0]),
    "tensor([1.0000e-05, 1.0000e+00])": lambda: ingot.tensor([1e-5, 1.0]),
    "tensor([nan, 1., inf])": lambda: ingot.tensor([float("nan"), 1.0, float("inf")]),
    "tensor([[True]])": lambda: ingot.tensor([[True]]), "tensor([], size=(2, 0))": lambda: ingot.zeros(2, 0),
    "tensor([1., 1.], dtype=ingot.float16)": lambda: ingot.ones(2, dtype=ingot.float16),
    "tensor([1., 1.], requires_grad=True)": lambda: ingot.ones(2, requires_grad=True),
    "tensor([2., 2.], grad_fn=<MulBackward0>)": lambda: ingot.ones(2, requires_grad=True) * 2,
    "tensor([   0,    1,    2,  ..., 1998, 1999, 2000])": lambda: ingot.arange(2001),
    "tensor([[1, 2],\n        [3, 4]])": lambda: ingot.tensor([[1, 2], [3, 4]]),
}  # fmt: skip


def test_repr() -> None:
    for want, make in CASES.items():
        assert repr(make()) == want


def test_options() -> None:
    try:
        ingot.set_printoptions(precision=1, sci_mode=True)
        assert repr(ingot.tensor([1.0])) == "tensor([1.0e+00])"
    finally:
        ingot.set_printoptions(profile="default")
    assert f"{ingot.tensor(1.25):.1f}" == "1.2" and str(ingot.tensor([1])) == "tensor([1])"
