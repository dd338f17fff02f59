"""Pooling modules."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.modules.module import Module
from ingot.nn.modules.simple import REQUIRED, Functional

__all__ = [
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d",
]  # fmt: skip


class _Pool(Functional):
    """A pool whose stride defaults to its kernel."""

    stride: Any
    kernel_size: Any

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.stride is None:
            self.stride = self.kernel_size


_MAX = {"kernel_size": REQUIRED, "stride": None, "padding": 0, "dilation": 1, "return_indices": False, "ceil_mode": False}


class MaxPool1d(_Pool):
    """Maxima of windows of (N, C, L)."""

    fn = F.max_pool1d
    settings = _MAX
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool2d(_Pool):
    """Maxima of windows of (N, C, H, W)."""

    fn = F.max_pool2d
    settings = _MAX
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool3d(_Pool):
    """Maxima of windows of (N, C, D, H, W)."""

    fn = F.max_pool3d
    settings = _MAX
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class AvgPool1d(_Pool):
    """Means of windows of (N, C, L)."""

    fn = F.avg_pool1d
    settings = {"kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}
    shown = ("kernel_size", "stride", "padding")


_AVG = {
    "kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True, "divisor_override": None,
}  # fmt: skip


class AvgPool2d(_Pool):
    """Means of windows of (N, C, H, W)."""

    fn = F.avg_pool2d
    settings = _AVG
    shown = ("kernel_size", "stride", "padding")


class AvgPool3d(_Pool):
    """Means of windows of (N, C, D, H, W)."""

    fn = F.avg_pool3d
    settings = _AVG
    shown = ("kernel_size", "stride", "padding")


class LPPool1d(Functional):
    """Power means of windows of (N, C, L)."""

    fn = F.lp_pool1d
    settings = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class LPPool2d(Functional):
    """Power means of windows of (N, C, H, W)."""

    fn = F.lp_pool2d
    settings = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class LPPool3d(Functional):
    """Power means of windows of (N, C, D, H, W)."""

    fn = F.lp_pool3d
    settings = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class AdaptiveAvgPool1d(Functional):
    """Means over `output_size` windows that cover (N, C, L)."""

    fn = F.adaptive_avg_pool1d
    settings = {"output_size": REQUIRED}


class AdaptiveAvgPool2d(Functional):
    """Means over a grid of windows that covers (N, C, H, W); None keeps an extent."""

    fn = F.adaptive_avg_pool2d
    settings = {"output_size": REQUIRED}


class AdaptiveAvgPool3d(Functional):
    """Means over a grid of windows that covers (N, C, D, H, W); None keeps an extent."""

    fn = F.adaptive_avg_pool3d
    settings = {"output_size": REQUIRED}


class AdaptiveMaxPool1d(Functional):
    """Maxima over `output_size` windows that cover (N, C, L)."""

    fn = F.adaptive_max_pool1d
    settings = {"output_size": REQUIRED, "return_indices": False}
    shown = ("output_size",)


class AdaptiveMaxPool2d(Functional):
    """Maxima over a grid of windows that covers (N, C, H, W)."""

    fn = F.adaptive_max_pool2d
    settings = {"output_size": REQUIRED, "return_indices": False}
    shown = ("output_size",)


class AdaptiveMaxPool3d(Functional):
    """Maxima over a grid of windows that covers (N, C, D, H, W)."""

    fn = F.adaptive_max_pool3d
    settings = {"output_size": REQUIRED, "return_indices": False}
    shown = ("output_size",)


class _Unpool(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_Unpool):
    """Puts maxima back where MaxPool1d found them."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_Unpool):
    """Puts maxima back where MaxPool2d found them."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_Unpool):
    """Puts maxima back where MaxPool3d found them."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)
