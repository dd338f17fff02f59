"""Padding, upsampling and shuffling modules."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.functional.sizes import ntuple
from ingot.nn.modules.module import Module
from ingot.nn.modules.simple import REQUIRED, Functional

__all__ = [
    "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "ReflectionPad1d", "ReflectionPad2d",
    "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "CircularPad1d", "CircularPad2d", "CircularPad3d",
    "Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d", "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "Unfold", "Fold",
]  # fmt: skip


class _Pad(Module):
    dims: int
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any):
        super().__init__()
        self.padding = ntuple(padding, 2 * self.dims, "padding")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Pads the last dim with `value`; padding is an int or (left, right)."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two dims with `value`; padding is an int or (left, right, top, bottom)."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three dims with `value`."""

    dims = 3


class ZeroPad1d(_Pad):
    """Pads the last dim with zeros."""

    dims = 1


class ZeroPad2d(_Pad):
    """Pads the last two dims with zeros."""

    dims = 2


class ZeroPad3d(_Pad):
    """Pads the last three dims with zeros."""

    dims = 3


class ReflectionPad1d(_Pad):
    """Pads the last dim with its reflection."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads the last two dims with their reflection."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pads the last three dims with their reflection."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pads the last dim with its edge."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads the last two dims with their edges."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pads the last three dims with their edges."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Pads the last dim with its other end."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pads the last two dims with their other ends."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Pads the last three dims with their other ends."""

    dims, mode = 3, "circular"


class Upsample(Module):
    """`F.interpolate` as a module."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        self.scale_factor = (
            tuple(map(float, scale_factor)) if isinstance(scale_factor, (tuple, list)) else scale_factor and float(scale_factor)
        )
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        head = f"scale_factor={self.scale_factor!r}" if self.scale_factor is not None else f"size={self.size!r}"
        return f"{head}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Nearest-neighbour Upsample of (N, C, H, W)."""

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Bilinear Upsample of (N, C, H, W) with aligned corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Functional):
    """(..., C * r * r, H, W) -> (..., C, H * r, W * r)."""

    fn = F.pixel_shuffle
    settings = {"upscale_factor": REQUIRED}


class PixelUnshuffle(Functional):
    """(..., C, H * r, W * r) -> (..., C * r * r, H, W)."""

    fn = F.pixel_unshuffle
    settings = {"downscale_factor": REQUIRED}


class ChannelShuffle(Functional):
    """Interleaves the channels of `groups` groups."""

    fn = F.channel_shuffle
    settings = {"groups": REQUIRED}


class Unfold(Functional):
    """Sliding blocks as columns: (N, C, H, W) -> (N, C * KH * KW, blocks)."""

    fn = F.unfold
    settings = {"kernel_size": REQUIRED, "dilation": 1, "padding": 0, "stride": 1}


class Fold(Functional):
    """Sums columns back to where Unfold took them from."""

    fn = F.fold
    settings = {"output_size": REQUIRED, "kernel_size": REQUIRED, "dilation": 1, "padding": 0, "stride": 1}
