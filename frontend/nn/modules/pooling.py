"""Pooling modules."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.functional.sizes import ntuple
from ingot.nn.modules.module import Module
from ingot.nn.modules.simple import REQUIRED, Functional

__all__ = [
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d", "FractionalMaxPool2d", "FractionalMaxPool3d",
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


class _MaxPoolNd(_Pool):
    pass


class MaxPool1d(_MaxPoolNd):
    """The largest element of each window of (N, C, L) or (C, L): `F.max_pool1d` as a module.

    stride: the kernel's size where None; with `return_indices` a call gives (values, indices), for `nn.MaxUnpool1d`.

    >>> nn.MaxPool1d(2)(ingot.tensor([[1.0, 3.0, 2.0, 5.0]]))
    tensor([[3., 5.]])
    """

    fn = F.max_pool1d
    settings = _MAX
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool2d(_MaxPoolNd):
    """The largest element of each window of (N, C, H, W) or (C, H, W): `F.max_pool2d` as a module.

    >>> nn.MaxPool2d(3, stride=2, padding=1)(ingot.ones(1, 2, 8, 8)).shape
    ingot.Size([1, 2, 4, 4])
    """

    fn = F.max_pool2d
    settings = _MAX
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool3d(_MaxPoolNd):
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W): `F.max_pool3d` as a module.

    >>> nn.MaxPool3d(2)(ingot.ones(1, 2, 4, 4, 6)).shape
    ingot.Size([1, 2, 2, 2, 3])
    """

    fn = F.max_pool3d
    settings = _MAX
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class _AvgPoolNd(_Pool):
    pass


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of (N, C, L) or (C, L): `F.avg_pool1d` as a module.

    >>> nn.AvgPool1d(2)(ingot.tensor([[1.0, 3.0, 2.0, 5.0]]))
    tensor([[2.0000, 3.5000]])
    """

    fn = F.avg_pool1d
    settings = {"kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}
    shown = ("kernel_size", "stride", "padding")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in self.shown:  # tuples, as torch shows them
            setattr(self, name, ntuple(getattr(self, name), 1, name))


_AVG = {
    "kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True, "divisor_override": None,
}  # fmt: skip


class AvgPool2d(_AvgPoolNd):
    """The mean of each window of (N, C, H, W) or (C, H, W): `F.avg_pool2d` as a module.

    >>> nn.AvgPool2d(2)(ingot.ones(1, 2, 8, 8)).shape
    ingot.Size([1, 2, 4, 4])
    """

    fn = F.avg_pool2d
    settings = _AVG
    shown = ("kernel_size", "stride", "padding")


class AvgPool3d(_AvgPoolNd):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W): `F.avg_pool3d` as a module.

    >>> nn.AvgPool3d(2)(ingot.ones(1, 2, 4, 4, 6)).shape
    ingot.Size([1, 2, 2, 2, 3])
    """

    fn = F.avg_pool3d
    settings = _AVG
    shown = ("kernel_size", "stride", "padding")


class LPPool1d(Functional):
    """sum(x ** norm_type) ** (1 / norm_type) of each window of (N, C, L) or (C, L).

    >>> nn.LPPool1d(2, 2)(ingot.tensor([[3.0, 4.0, 6.0, 8.0]]))
    tensor([[ 5., 10.]])
    """

    fn = F.lp_pool1d
    settings = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class LPPool2d(Functional):
    """sum(x ** norm_type) ** (1 / norm_type) of each window of (N, C, H, W) or (C, H, W).

    >>> nn.LPPool2d(2, 2)(ingot.ones(1, 1, 4, 4))
    tensor([[[[2., 2.],
              [2., 2.]]]])
    """

    fn = F.lp_pool2d
    settings = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class LPPool3d(Functional):
    """sum(x ** norm_type) ** (1 / norm_type) of each window of (N, C, D, H, W) or (C, D, H, W).

    >>> nn.LPPool3d(3, 2)(ingot.ones(1, 1, 2, 2, 2))
    tensor([[[[[2.]]]]])
    """

    fn = F.lp_pool3d
    settings = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class _AdaptiveAvgPoolNd(Functional):
    pass


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The means of `output_size` windows that cover (N, C, L) or (C, L): `F.adaptive_avg_pool1d` as a module.

    >>> nn.AdaptiveAvgPool1d(2)(ingot.arange(5.0).reshape(1, 5))
    tensor([[1., 3.]])
    """

    fn = F.adaptive_avg_pool1d
    settings = {"output_size": REQUIRED}


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The means of a grid of windows that covers (N, C, H, W) or (C, H, W); None keeps an extent.

    >>> nn.AdaptiveAvgPool2d((3, None))(ingot.ones(1, 2, 7, 5)).shape
    ingot.Size([1, 2, 3, 5])
    """

    fn = F.adaptive_avg_pool2d
    settings = {"output_size": REQUIRED}


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The means of a grid of windows that covers (N, C, D, H, W) or (C, D, H, W); None keeps an extent.

    >>> nn.AdaptiveAvgPool3d(2)(ingot.ones(1, 2, 4, 6, 5)).shape
    ingot.Size([1, 2, 2, 2, 2])
    """

    fn = F.adaptive_avg_pool3d
    settings = {"output_size": REQUIRED}


class _AdaptiveMaxPoolNd(Functional):
    pass


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The largest elements of `output_size` windows that cover (N, C, L) or (C, L); with `return_indices` also their places.

    >>> nn.AdaptiveMaxPool1d(2)(ingot.arange(5.0).reshape(1, 5))
    tensor([[2., 4.]])
    """

    fn = F.adaptive_max_pool1d
    settings = {"output_size": REQUIRED, "return_indices": False}
    shown = ("output_size",)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The largest elements of a grid of windows that covers (N, C, H, W) or (C, H, W); with `return_indices` also their places.

    >>> nn.AdaptiveMaxPool2d((3, None))(ingot.ones(1, 2, 7, 5)).shape
    ingot.Size([1, 2, 3, 5])
    """

    fn = F.adaptive_max_pool2d
    settings = {"output_size": REQUIRED, "return_indices": False}
    shown = ("output_size",)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The largest elements of a grid of windows that covers (N, C, D, H, W) or (C, D, H, W).

    With `return_indices` also their places.

    >>> nn.AdaptiveMaxPool3d(2)(ingot.ones(1, 2, 4, 6, 5)).shape
    ingot.Size([1, 2, 2, 2, 2])
    """

    fn = F.adaptive_max_pool3d
    settings = {"output_size": REQUIRED, "return_indices": False}
    shown = ("output_size",)


class _MaxUnpoolNd(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The maxima of `nn.MaxPool1d` where its indices say they were, zeros elsewhere: `F.max_unpool1d` as a module.

    A call takes (values, indices) and, where several sizes are possible, the `output_size`.

    >>> y, at = nn.MaxPool1d(2, return_indices=True)(ingot.tensor([[[1.0, 3.0, 2.0, 5.0]]]))
    >>> nn.MaxUnpool1d(2)(y, at)
    tensor([[[0., 3., 0., 5.]]])
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpoolNd):
    """The maxima of `nn.MaxPool2d` where its indices say they were, zeros elsewhere; a call is that of `nn.MaxUnpool1d`.

    >>> y, at = nn.MaxPool2d(2, return_indices=True)(ingot.arange(16.0).reshape(1, 1, 4, 4))
    >>> nn.MaxUnpool2d(2)(y, at)[0, 0]
    tensor([[ 0.,  0.,  0.,  0.],
            [ 0.,  5.,  0.,  7.],
            [ 0.,  0.,  0.,  0.],
            [ 0., 13.,  0., 15.]])
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpoolNd):
    """The maxima of `nn.MaxPool3d` where its indices say they were, zeros elsewhere; a call is that of `nn.MaxUnpool1d`.

    >>> y, at = nn.MaxPool3d(2, return_indices=True)(ingot.arange(8.0).reshape(1, 1, 2, 2, 2))
    >>> nn.MaxUnpool3d(2)(y, at)[0, 0, 1]
    tensor([[0., 0.],
            [0., 7.]])
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _FractionalMaxPoolNd(Module):
    def __init__(
        self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ):  # fmt: skip
        super().__init__()
        if output_size is None and output_ratio is None:
            raise ValueError(f"{type(self).__name__} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        ratios = () if output_ratio is None else output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,)
        if any(not 0 < r < 1 for r in ratios):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
        self.kernel_size, self.output_size, self.output_ratio, self.return_indices = kernel_size, output_size, output_ratio, return_indices
        self.register_buffer("_random_samples", _random_samples)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """`F.fractional_max_pool2d` as a module. ValueError unless one of output_size and output_ratio is given.

    >>> nn.FractionalMaxPool2d(2, output_ratio=(0.5, 0.7))(ingot.ones(1, 1, 10, 10)).shape
    ingot.Size([1, 1, 5, 7])
    """

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool2d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """`F.fractional_max_pool3d` as a module; arguments are those of `nn.FractionalMaxPool2d`.

    >>> nn.FractionalMaxPool3d(2, output_size=3)(ingot.ones(1, 1, 5, 5, 5)).shape
    ingot.Size([1, 1, 3, 3, 3])
    """

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool3d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )
