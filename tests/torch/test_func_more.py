"""`func.rearrange` and `func.replace_all_batch_norm_modules_` against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from functorch.einops.rearrange import rearrange

import ingot

X = np.arange(2 * 12 * 3 * 5, dtype=np.float32).reshape(2, 12, 3, 5)
PATTERNS = [
    ("b h w c -> b c h w", {}), ("b h w c -> (b h) w c", {}), ("b h w c -> h (b w) c", {}), ("b (h k) w c -> b h (w k) c", {"h": 3}),
    ("b (h k) w c -> k b h w c", {"k": 4}), ("b ... c -> b (...) c", {}), ("b ... -> ... b", {}), ("... c -> c ...", {}),
    ("b h w c -> b 1 h w c", {}), ("b h w c -> (b h w c)", {}),
]  # fmt: skip


@pytest.mark.parametrize("pattern, lengths", PATTERNS)
def test_rearrange(pattern: str, lengths: dict) -> None:
    np.testing.assert_array_equal(ingot.func.rearrange(ingot.tensor(X), pattern, **lengths), rearrange(torch.tensor(X), pattern, **lengths))


def test_rearrange_stacks_and_refuses() -> None:
    rows = [ingot.ones(3), ingot.zeros(3)]
    assert ingot.func.rearrange(rows, "b c -> c b").tolist() == [[1, 0]] * 3
    for pattern, lengths in (
        ("a b -> a b", {}), ("b h w c -> b h w", {}), ("b h w c", {}), ("b (h k) w c -> b h k w c", {}), ("b (h k w c -> b h", {}),
        ("b (h k) w c -> b h k w c", {"h": 5}), ("b h w c -> b h w c", {"z": 1}), ("b b w c -> b b w c", {}),
        ("b (...) c -> b c ...", {}), ("b h+w c -> b", {}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="rearrange"):
            ingot.func.rearrange(ingot.tensor(X), pattern, **lengths)


def test_batch_norm_without_running_statistics() -> None:
    net = ingot.func.replace_all_batch_norm_modules_(ingot.nn.Sequential(ingot.nn.BatchNorm1d(3), ingot.nn.Linear(3, 2)))
    twin = torch.func.replace_all_batch_norm_modules_(torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)))
    assert list(net.state_dict()) == list(twin.state_dict())
    x = X[0, :, :, 0]
    np.testing.assert_allclose(net[0].eval()(ingot.tensor(x)).detach(), twin[0].eval()(torch.tensor(x)).detach(), rtol=1e-5, atol=1e-6)
