"""Layers in half precision and float64, and with empty batches, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ingot
from tests.torch.against import array, copy_weights, numpy_of, weighted

LAYERS: dict[str, tuple] = {
    "linear": (lambda nn: nn.Linear(8, 6), (4, 8)),
    "conv": (lambda nn: nn.Conv2d(3, 4, 3, padding=1), (2, 3, 6, 6)),
    "conv_transpose": (lambda nn: nn.ConvTranspose2d(3, 4, 3, stride=2), (2, 3, 4, 4)),
    "batch_norm": (lambda nn: nn.BatchNorm2d(3), (4, 3, 4, 4)),
    "layer_norm": (lambda nn: nn.LayerNorm(8), (4, 8)),
    "group_norm": (lambda nn: nn.GroupNorm(2, 4), (3, 4, 5)),
    "rms_norm": (lambda nn: nn.RMSNorm(8), (4, 8)),
    "mlp": (lambda nn: nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3), nn.LogSoftmax(-1)), (4, 8)),
    "pool": (lambda nn: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)), (2, 3, 8, 8)),
    "lstm": (lambda nn: nn.LSTM(8, 4), (3, 2, 8)),
    "attention": (lambda nn: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), (2, 3, 8)),
}
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float64": 1e-10}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", LAYERS)
def test_dtype(name: str, dtype: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    theirs, mine = make(torch.nn), make(ingot.nn)
    copy_weights(theirs, mine)
    theirs, mine = theirs.to(getattr(torch, dtype)), mine.to(getattr(ingot, dtype))
    x = array(shape).astype(np.float64 if dtype == "float64" else np.float32)

    def run(lib: Any, model: Any) -> list:
        v = lib.tensor(x).to(getattr(lib, dtype)).requires_grad_()
        out = model(v)
        out = out[0] if isinstance(out, tuple) else out
        assert repr(out.dtype).endswith(dtype)
        weighted([out * out]).backward()
        return [out, v.grad, *(p.grad for p in model.parameters())]

    for i, (a, b) in enumerate(zip(run(ingot, mine), run(torch, theirs))):
        a, b = numpy_of(a.double() if dtype == "float64" else a.float()), numpy_of(b.double() if dtype == "float64" else b.float())
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, err_msg=str(i))


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("batch_norm", "lstm", "attention")])
def test_empty_batch(name: str) -> None:
    make, shape = LAYERS[name]
    theirs, mine = make(torch.nn), make(ingot.nn)
    x = np.zeros((0, *shape[1:]), np.float32)
    a, b = mine(ingot.tensor(x)), theirs(torch.tensor(x))
    assert tuple(a.shape) == tuple(b.shape)
    if not b.requires_grad:
        return
    a.sum().backward()
    b.sum().backward()
    for p, q in zip(mine.parameters(), theirs.parameters()):
        np.testing.assert_array_equal(numpy_of(p.grad), numpy_of(q.grad))


def test_mixed_precision_batch_norm() -> None:
    """A half input with float32 parameters and statistics, as autocast makes them."""
    torch.manual_seed(0)
    theirs, mine = torch.nn.BatchNorm1d(3), ingot.nn.BatchNorm1d(3)
    x = array((5, 3))
    a, b = mine(ingot.tensor(x).bfloat16()), theirs(torch.tensor(x).bfloat16())
    assert a.dtype is ingot.bfloat16 and b.dtype is torch.bfloat16
    np.testing.assert_allclose(numpy_of(a.float()), numpy_of(b.float()), rtol=2e-2, atol=2e-2)
    np.testing.assert_allclose(numpy_of(mine.running_mean), numpy_of(theirs.running_mean), rtol=1e-2, atol=1e-3)
