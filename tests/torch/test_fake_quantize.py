"""Fake quantization and Sobol's points, against torch."""

import numpy as np
import pytest
import torch

import ingot
from tests.support.interpreter import interpreter  # noqa: F401  (these are semantics: nothing needs to be compiled)

X = (np.random.default_rng(0).standard_normal((3, 4)) * 3).astype(np.float32)
SCALE = [0.1, 0.2, 0.05, 0.3]


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 31),
        lambda m, x: m.fake_quantize_per_tensor_affine(x, m.tensor([0.3]), m.tensor([-3], dtype=m.int32), -8, 7),
        lambda m, x: m.fake_quantize_per_channel_affine(x, m.tensor(SCALE), m.tensor([0, 1, 2, 3], dtype=m.int32), 1, -8, 7),
        lambda m, x: m.fake_quantize_per_channel_affine(x, m.tensor(SCALE[:3]), m.zeros(3), 0, -8, 7),
        lambda m, x: m.fake_quantize_per_tensor_affine(x[:0], 0.1, 0, 0, 255),
    ],
)
def test_values_and_gradients(call):
    got = []
    for m in (torch, ingot):
        x = m.tensor(X, requires_grad=True)
        y = call(m, x)
        (y * y).sum().backward()
        got.append((y.detach().numpy(), x.grad.numpy()))
    (a, b), (c, d) = got
    np.testing.assert_allclose(c, a, atol=1e-6)
    np.testing.assert_allclose(d, b, atol=1e-6)


def test_what_is_refused():
    x = ingot.ones(2)
    with pytest.raises(RuntimeError, match="quant_min"):
        ingot.fake_quantize_per_tensor_affine(x, 0.1, 0, 5, 4)
    with pytest.raises(RuntimeError, match="zero_point"):
        ingot.fake_quantize_per_tensor_affine(x, 0.1, 9, 0, 7)
    with pytest.raises(TypeError, match="floating-point"):
        ingot.fake_quantize_per_tensor_affine(ingot.tensor([1]), 0.1, 0, 0, 7)
    with pytest.raises(RuntimeError, match="scale should have the shape"):
        ingot.fake_quantize_per_channel_affine(x, ingot.ones(3), ingot.zeros(3), 0, 0, 7)
    with pytest.raises(IndexError, match="axis 2"):
        ingot.fake_quantize_per_channel_affine(x, ingot.ones(2), ingot.zeros(2), 2, 0, 7)


def test_points_of_sobol():
    pytest.importorskip("scipy")
    a, b = torch.quasirandom.SobolEngine(5), ingot.quasirandom.SobolEngine(5)
    assert b.draw(7).tolist() == a.draw(7).tolist() and repr(a) == repr(b) and a.num_generated == b.num_generated
    a.fast_forward(5), b.fast_forward(5)
    assert b.draw(2, dtype=ingot.float64).tolist() == a.draw(2, dtype=torch.float64).tolist()
    assert b.reset().draw_base2(2).tolist() == a.reset().draw_base2(2).tolist()
    with pytest.raises(ValueError, match="power of 2"):
        b.draw_base2(3) if b.num_generated + 8 & b.num_generated + 7 else b.draw(1).draw_base2(3)
    with pytest.raises(ValueError, match="dimensionality"):
        ingot.quasirandom.SobolEngine(0)
    s = ingot.quasirandom.SobolEngine(3, scramble=True, seed=1)
    first = s.draw(8)
    assert first.tolist() != ingot.quasirandom.SobolEngine(3).draw(8).tolist() and s.reset().draw(8).tolist() == first.tolist()
