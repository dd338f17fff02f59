"""Special values, where torch's own answer depends on its vectors' width: what is right by the function's definition."""

import math

import numpy as np
import pytest

import ingot


@pytest.mark.parametrize("dtype", [ingot.float32, ingot.float64], ids=str)
@pytest.mark.parametrize("n", [1, 3, 8, 37])
def test_logit_of_nan_is_nan_and_so_is_its_derivative(n, dtype):
    """Clamped values have no slope; NaN is not clamped: log(x / (1 - x)) and 1 / (x (1 - x)) hold, wherever it stands."""
    values = np.resize([np.nan, np.inf, 0.5, -np.inf, 0.05, 0.25, -0.0], n)
    x = ingot.tensor(values, dtype=dtype, requires_grad=True)
    y = ingot.logit(x, eps=0.1)
    y.sum().backward()
    inside = (values > 0.1) & (values < 0.9)
    at = np.clip(values, 0.1, 0.9)
    np.testing.assert_allclose(y.detach().numpy(), np.log(at / (1 - at)), rtol=1e-6, atol=1e-6)
    slope = np.where(np.isnan(values), np.nan, np.where(inside, 1 / (at * (1 - at)), 0))
    np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-6)


def gradient(f, values, dtype=ingot.float32):
    x = ingot.tensor(values, dtype=dtype, requires_grad=True)
    f(x).sum().backward()
    return x.grad.numpy()


def test_gradients_at_special_points():
    inf, nan = math.inf, math.nan
    near = [0.0, 1e-5, -1e-3, 0.5, -2.0]
    i1 = ingot.special.i1(ingot.tensor(near, dtype=ingot.float64)).numpy()
    np.testing.assert_allclose(gradient(ingot.i0, near), i1, rtol=1e-6, atol=1e-15)
    assert gradient(ingot.i0, [100.0, -100.0]).tolist() == [inf, -inf]
    assert gradient(ingot.special.i1, [100.0]).tolist() == [inf]
    assert gradient(ingot.special.erfcx, [-20.0, -45.0, -inf, inf]).tolist() == [-inf, -inf, -inf, 0.0]
    low = gradient(ingot.special.erfcx, [-5.0, -7.0], ingot.float64)
    np.testing.assert_allclose(low, [-1440098025472.0656, -28 * math.exp(49)], rtol=1e-6)
    assert gradient(ingot.special.entr, [0.0, -0.0, 1.0]).tolist() == [inf, inf, -1.0]
    assert gradient(ingot.nn.functional.hardswish, [inf, -inf, 3.0, -3.0, 0.0]).tolist() == [1.0, 0.0, 1.0, 0.0, 0.5]
    for f in (lambda x: x.clamp(-1, 1), lambda x: x.clamp(min=-1), lambda x: x.clamp(max=ingot.ones(()))):
        assert gradient(f, [nan, 0.0, 1.0]).tolist() == [0.0, 1.0, 1.0]
        assert f(ingot.tensor([nan])).isnan().item()
    small = np.array([1e-20, 1e-8, 1e-5, 1e-3, 0.1], np.float32)
    np.testing.assert_allclose(gradient(ingot.sinc, small), -small.astype(np.float64) * math.pi**2 / 3 * (1 - (math.pi * small) ** 2 / 10
                               + (math.pi * small) ** 4 / 280), rtol=2e-6)  # fmt: skip
    assert gradient(ingot.angle, [-1.0, 2.0]).tolist() == [0.0, 0.0]


def test_powers_of_two_that_leave_the_range_come_back():
    x = ingot.tensor([0.001, 1.0], dtype=ingot.float16)
    assert ingot.ldexp(x, ingot.tensor([20, -30])).tolist() == [1049.0, 0.0]
    assert ingot.ldexp(ingot.tensor([2.0**-100, 2.0**100]), ingot.tensor([150, -200])).tolist() == [2.0**50, 2.0**-100]


def test_the_next_half():
    x = ingot.tensor([1.0, 1.0, 0.0, 0.0], dtype=ingot.float16)
    towards = ingot.tensor([math.inf, -math.inf, 0.0, 1.0], dtype=ingot.float16)
    assert ingot.nextafter(x, towards).tolist() == [1.0009765625, 0.99951171875, 0.0, 5.960464477539063e-08]


def test_angles_of_numbers():
    assert ingot.angle(ingot.tensor([-1.0, 0.0, -0.0, math.inf, -math.inf])).tolist() == pytest.approx([math.pi, 0, 0, 0, math.pi])
    assert ingot.tensor([-1, 2]).angle().dtype is ingot.float32 and ingot.angle(ingot.tensor(math.nan)).isnan().item()
