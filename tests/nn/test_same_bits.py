"""Training gives the same bits on every run, for any number of threads."""

from __future__ import annotations

import pytest

import ingot
import ingot.nn.functional as F
from ingot import nn


def trained(threads: int) -> bytes:
    ingot.set_num_threads(threads)
    ingot.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(864, 10))
    wide = nn.Sequential(nn.Linear(200, 300), nn.LayerNorm(300), nn.GELU(), nn.Linear(300, 10))
    models = nn.ModuleList([conv, wide])
    optimizer = ingot.optim.AdamW(models.parameters(), lr=1e-3)
    images, rows, labels = ingot.randn(32, 1, 28, 28), ingot.randn(512, 200), ingot.randint(0, 10, (512,))
    for _ in range(3):
        optimizer.zero_grad()
        (F.cross_entropy(conv(images), labels[:32]) + F.cross_entropy(wide(rows), labels)).backward()
        optimizer.step()
    return b"".join(p.detach().numpy().tobytes() for p in models.parameters())


@pytest.fixture
def threads():
    before = ingot.get_num_threads()
    yield
    ingot.set_num_threads(before)


def test_same_bits_for_any_number_of_threads(threads: None) -> None:
    first = trained(2)
    assert all(trained(n) == first for n in (1, 3, 2))
