"""Special values, where torch's own answer depends on its vectors' width: what is right by the function's definition."""

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
