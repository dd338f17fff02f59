"""What the tests of ingot.compile share."""

import numpy as np

import ingot
from ingot import nn


def net():
    ingot.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def data(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return ingot.tensor(rng.standard_normal((n, 4)).astype(np.float32)), ingot.tensor(rng.integers(0, 3, n))


def close(a, b, tol=1e-6):
    assert np.allclose(np.asarray(a), np.asarray(b), rtol=tol, atol=tol)
