"""`ao.quantization`: models that are prepared for quantization run as they are; there are no quantized tensors."""

from __future__ import annotations

from ingot._paths import below
from ingot._refused import refused, refused_class
from ingot._tensor import Tensor
from ingot.nn.modules.module import Module

__all__ = [
    "DeQuantStub", "FakeQuantize", "FakeQuantizeBase", "HistogramObserver", "MinMaxObserver", "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver", "ObserverBase", "PerChannelMinMaxObserver", "QConfig", "QuantStub", "convert", "fuse_modules",
    "fuse_modules_qat", "get_default_qat_qconfig", "get_default_qconfig", "prepare", "prepare_qat", "quantize", "quantize_dynamic",
]  # fmt: skip

__getattr__ = below(__name__)

_NONE = "there are no quantized tensors; the model runs in floating point"


class QuantStub(Module):
    """Where a quantized model would quantize what it is given: gives it back.

    >>> ingot.ao.quantization.QuantStub()(ingot.ones(1))
    tensor([1.])
    """

    def __init__(self, qconfig: object = None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """`x`."""
        return x


class DeQuantStub(QuantStub):
    """Where a quantized model would make floating point of its results: gives them back."""


FakeQuantize, FakeQuantizeBase, HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver = (
    refused_class(f"ao.quantization.{n}", _NONE)
    for n in ("FakeQuantize", "FakeQuantizeBase", "HistogramObserver", "MinMaxObserver", "MovingAverageMinMaxObserver")
)
MovingAveragePerChannelMinMaxObserver, ObserverBase, PerChannelMinMaxObserver, QConfig = (
    refused_class(f"ao.quantization.{n}", _NONE)
    for n in ("MovingAveragePerChannelMinMaxObserver", "ObserverBase", "PerChannelMinMaxObserver", "QConfig")
)
convert, prepare, prepare_qat = (refused(f"ao.quantization.{n}", _NONE) for n in ("convert", "prepare", "prepare_qat"))
quantize, quantize_dynamic = (refused(f"ao.quantization.{n}", _NONE) for n in ("quantize", "quantize_dynamic"))
get_default_qconfig = refused("ao.quantization.get_default_qconfig", _NONE)
get_default_qat_qconfig = refused("ao.quantization.get_default_qat_qconfig", _NONE)
fuse_modules, fuse_modules_qat = (refused(f"ao.quantization.{n}", _NONE) for n in ("fuse_modules", "fuse_modules_qat"))
