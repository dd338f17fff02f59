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


class _ConstantPadNd(_Pad):
    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads the last dim with `value`. padding, here and below: an int for all sides, or (left, right, top, bottom, front, back).

    >>> nn.ConstantPad1d((1, 2), 9.0)(ingot.tensor([[1.0, 2.0]]))
    tensor([[9., 1., 2., 9., 9.]])
    """

    dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads the last two dims with `value`.

    >>> nn.ConstantPad2d((1, 0, 0, 1), 9.0)(ingot.tensor([[[1.0, 2.0]]]))
    tensor([[[9., 1., 2.],
             [9., 9., 9.]]])
    """

    dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads the last three dims with `value`.

    >>> nn.ConstantPad3d(1, 9.0)(ingot.ones(1, 1, 1, 1)).shape
    ingot.Size([1, 3, 3, 3])
    """

    dims = 3


class _ZeroPad(_ConstantPadNd):
    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Pads the last dim with zeros.

    >>> nn.ZeroPad1d((1, 2))(ingot.tensor([[1.0, 2.0]]))
    tensor([[0., 1., 2., 0., 0.]])
    """

    dims = 1


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Pads the last two dims with zeros; negative pads crop.

    >>> nn.ZeroPad2d((1, -1, 0, 1))(ingot.tensor([[[1.0, 2.0]]]))
    tensor([[[0., 1.],
             [0., 0.]]])
    """

    dims = 2


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Pads the last three dims with zeros.

    >>> nn.ZeroPad3d(1)(ingot.ones(1, 1, 1, 1)).shape
    ingot.Size([1, 3, 3, 3])
    """

    dims = 3


class _ReflectionPadNd(_Pad):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Pads the last dim with its reflection, without the edge: by less than its extent (RuntimeError).

    >>> nn.ReflectionPad1d(2)(ingot.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 2., 1., 2., 3., 2., 1.]])
    """

    dims = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads the last two dims with their reflection.

    >>> nn.ReflectionPad2d((1, 0, 1, 0))(ingot.arange(4.0).reshape(1, 2, 2))
    tensor([[[3., 2., 3.],
             [1., 0., 1.],
             [3., 2., 3.]]])
    """

    dims = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads the last three dims with their reflection.

    >>> nn.ReflectionPad3d(1)(ingot.ones(1, 2, 2, 2)).shape
    ingot.Size([1, 4, 4, 4])
    """

    dims = 3


class _ReplicationPadNd(_Pad):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Pads the last dim with its edge.

    >>> nn.ReplicationPad1d(2)(ingot.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 1., 1., 2., 3., 3., 3.]])
    """

    dims = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads the last two dims with their edges.

    >>> nn.ReplicationPad2d((1, 0, 1, 0))(ingot.arange(4.0).reshape(1, 2, 2))
    tensor([[[0., 0., 1.],
             [0., 0., 1.],
             [2., 2., 3.]]])
    """

    dims = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads the last three dims with their edges.

    >>> nn.ReplicationPad3d(1)(ingot.ones(1, 2, 2, 2)).shape
    ingot.Size([1, 4, 4, 4])
    """

    dims = 3


class _CircularPadNd(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPadNd):
    """Pads the last dim with its other end: by no more than its extent (RuntimeError).

    >>> nn.CircularPad1d(2)(ingot.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 3., 1., 2., 3., 1., 2.]])
    """

    dims = 1


class CircularPad2d(_CircularPadNd):
    """Pads the last two dims with their other ends.

    >>> nn.CircularPad2d((1, 0, 1, 0))(ingot.arange(4.0).reshape(1, 2, 2))
    tensor([[[3., 2., 3.],
             [1., 0., 1.],
             [3., 2., 3.]]])
    """

    dims = 2


class CircularPad3d(_CircularPadNd):
    """Pads the last three dims with their other ends.

    >>> nn.CircularPad3d(1)(ingot.ones(1, 2, 2, 2)).shape
    ingot.Size([1, 4, 4, 4])
    """

    dims = 3


class Upsample(Module):
    """Resizes the spatial dims of (N, C, *) to `size` or by `scale_factor`: `F.interpolate` as a module.

    >>> nn.Upsample(scale_factor=2, mode="linear")(ingot.tensor([[[0.0, 4.0]]]))
    tensor([[[0., 1., 3., 4.]]])
    """

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
    """`nn.Upsample` of (N, C, H, W) with mode="nearest".

    >>> nn.UpsamplingNearest2d(scale_factor=2)(ingot.tensor([[[[0.0, 4.0]]]]))
    tensor([[[[0., 0., 4., 4.],
              [0., 0., 4., 4.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """`nn.Upsample` of (N, C, H, W) with mode="bilinear" and align_corners=True.

    >>> nn.UpsamplingBilinear2d((1, 4))(ingot.tensor([[[[0.0, 3.0]]]]))
    tensor([[[[0., 1., 2., 3.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Functional):
    """(..., C * r * r, H, W) -> (..., C, H * r, W * r), r = `upscale_factor`.

    >>> nn.PixelShuffle(2)(ingot.arange(4.0).reshape(1, 4, 1, 1))
    tensor([[[[0., 1.],
              [2., 3.]]]])
    """

    fn = F.pixel_shuffle
    settings = {"upscale_factor": REQUIRED}


class PixelUnshuffle(Functional):
    """(..., C, H * r, W * r) -> (..., C * r * r, H, W), r = `downscale_factor`.

    >>> nn.PixelUnshuffle(2)(ingot.ones(1, 2, 4, 6)).shape
    ingot.Size([1, 8, 2, 3])
    """

    fn = F.pixel_unshuffle
    settings = {"downscale_factor": REQUIRED}


class ChannelShuffle(Functional):
    """(N, g * C, *) with the channels of the g groups interleaved.

    >>> nn.ChannelShuffle(2)(ingot.arange(4.0).reshape(1, 4, 1)).flatten()
    tensor([0., 2., 1., 3.])
    """

    fn = F.channel_shuffle
    settings = {"groups": REQUIRED}


class Unfold(Functional):
    """Sliding blocks as columns: (N, C, H, W) -> (N, C * KH * KW, blocks): `F.unfold` as a module.

    >>> nn.Unfold(2)(ingot.arange(9.0).reshape(1, 1, 3, 3))[0]
    tensor([[0., 1., 3., 4.],
            [1., 2., 4., 5.],
            [3., 4., 6., 7.],
            [4., 5., 7., 8.]])
    """

    fn = F.unfold
    settings = {"kernel_size": REQUIRED, "dilation": 1, "padding": 0, "stride": 1}


class Fold(Functional):
    """Sums columns back to where `nn.Unfold` took them from: `F.fold` as a module.

    >>> nn.Fold(3, 2)(nn.Unfold(2)(ingot.ones(1, 1, 3, 3)))[0, 0]
    tensor([[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]])
    """

    fn = F.fold
    settings = {"output_size": REQUIRED, "kernel_size": REQUIRED, "dilation": 1, "padding": 0, "stride": 1}
