"""Batches of nothing give what they give in torch."""

from __future__ import annotations

import pytest
import torch

import ingot

CASES = (
    "m.native_group_norm(m.zeros(0, 4, 2), None, None, 0, 4, 2, 2, 1e-5)",
    "F.grid_sample(m.zeros(0, 2, 4, 4), m.zeros(0, 3, 3, 2), align_corners=False)",
    "F.max_unpool2d(m.zeros(0, 2, 2, 2), m.zeros(0, 2, 2, 2, dtype=m.int64), 2)",
    "F.fractional_max_pool3d(m.zeros(0, 1, 5, 5, 5), 2, output_size=2, return_indices=True)",
)


@pytest.mark.parametrize("expr", CASES)
def test_shapes(expr: str) -> None:
    found = []
    for m in (ingot, torch):
        y = eval(expr, {"m": m, "F": m.nn.functional})
        found.append([(tuple(t.shape), str(t.dtype).split(".")[1]) for t in (y if isinstance(y, tuple) else (y,))])
    assert found[0] == found[1]


def test_distributions() -> None:
    """Where torch asks for a size that cannot be told."""
    D, zeros = ingot.distributions, ingot.zeros(0, 3)
    assert D.MultivariateNormal(zeros, ingot.eye(3).expand(0, 3, 3)).log_prob(zeros).shape == (0,)
    assert D.Independent(D.Normal(zeros, 1.0), 1).log_prob(zeros).shape == D.Dirichlet(zeros + 1).entropy().shape == (0,)
