"""Convolution modules."""

from __future__ import annotations

import math
from typing import Any

from ingot._paths import also
from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn import init
from ingot.nn.functional.sizes import ntuple
from ingot.nn.modules.module import Module
from ingot.nn.parameter import new_parameter

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

__getattr__ = also(__name__, "ingot.nn.modules.lazy")


class _ConvNd(Module):
    """What the six share; a subclass says its number of spatial dims and whether it is transposed."""

    dims: int
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
        output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        if not hasattr(type(self), "dims"):  # other people's layer, which gives all sizes as tuples
            self.dims = len(kernel_size)
        self.transposed = transposed
        n = self.dims
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
            if padding == "same" and any(s != 1 for s in ntuple(stride, n)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"padding_mode must be one of zeros, reflect, replicate, circular, but got padding_mode='{padding_mode}'")
        if transposed and padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = ntuple(kernel_size, n, "kernel_size")
        self.stride = ntuple(stride, n, "stride")
        self.padding = padding if isinstance(padding, str) else ntuple(padding, n, "padding")
        self.dilation = ntuple(dilation, n, "dilation")
        self.output_padding = ntuple(output_padding, n, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = new_parameter((first, second // groups, *self.kernel_size), device, dtype)
        if bias:
            self.bias = new_parameter((out_channels,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias from U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _pads(self) -> list[int]:
        """The padding as `F.pad` takes it, last dim first."""
        if self.padding == "valid":
            return [0] * (2 * self.dims)
        out: list[int] = []
        for i in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                out += [total // 2, total - total // 2]
            else:
                out += [self.padding[i]] * 2  # type: ignore[list-item]
        return out

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What `forward` computes, with another weight and bias: layers that make theirs call it."""
        fn = (F.conv1d, F.conv2d, F.conv3d)[self.dims - 1]
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._pads(), mode=self.padding_mode), 0
        return fn(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        none, one = (0,) * self.dims, (1,) * self.dims
        if self.padding != none:
            text += f", padding={self.padding}"
        if self.dilation != one:
            text += f", dilation={self.dilation}"
        if self.output_padding != none:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Forward(_ConvNd):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, False, 0, groups, bias, padding_mode, device, dtype
        )


class Conv1d(_Forward):
    """Cross-correlation of (N, C, L) or (C, L) with a learned weight (out_channels, in_channels / groups, K) and bias: `F.conv1d`.

    padding: int, "same" or "valid"; padding_mode: zeros, reflect, replicate or circular. Both parameters are drawn from
    U(-b, b) with b = 1 / sqrt(in_channels / groups * K). ValueError for channels that groups do not divide.

    >>> nn.Conv1d(2, 4, 3, padding="same")(ingot.randn(1, 2, 8)).shape
    ingot.Size([1, 4, 8])
    """

    dims = 1


class Conv2d(_Forward):
    """Cross-correlation of (N, C, H, W) or (C, H, W); arguments are those of `nn.Conv1d`, sizes ints or pairs.

    >>> nn.Conv2d(3, 8, 3, stride=2, padding=1)(ingot.randn(1, 3, 8, 8)).shape
    ingot.Size([1, 8, 4, 4])
    """

    dims = 2


class Conv3d(_Forward):
    """Cross-correlation of (N, C, D, H, W) or (C, D, H, W); arguments are those of `nn.Conv1d`, sizes ints or triples.

    >>> nn.Conv3d(2, 3, 2)(ingot.randn(1, 2, 3, 4, 4)).shape
    ingot.Size([1, 3, 2, 3, 3])
    """

    dims = 3


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, True, output_padding, groups, bias, padding_mode, device,
            dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        fn = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dims - 1]
        extra = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size, self.dims, self.dilation)
        return fn(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _output_padding(
        self, input: Tensor, output_size: Any, stride: Any, padding: Any, kernel_size: Any, num_spatial_dims: int, dilation: Any = None
    ) -> tuple[int, ...]:
        """The output_padding that gives `output_size`; the layer's own for None."""
        if output_size is None:
            return self.output_padding
        n = num_spatial_dims
        dilation = (1,) * n if dilation is None else dilation
        wanted = tuple(output_size)[-n:]
        least = [(input.shape[i - n] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel_size[i] - 1) + 1 for i in range(n)]
        extra = tuple(w - m for w, m in zip(wanted, least))
        if len(wanted) != n or any(not 0 <= e < max(s, d) for e, s, d in zip(extra, stride, dilation)):
            raise ValueError(f"requested output size {list(output_size)}, but sizes start at {least} for an input of {list(input.shape)}")
        return extra


class ConvTranspose1d(_ConvTransposeNd):
    """The gradient of `nn.Conv1d` as a layer, weight (in_channels, out_channels / groups, K): `F.conv_transpose1d`.

    A call also takes an `output_size`, in place of output_padding (ValueError for one that cannot be).

    >>> nn.ConvTranspose1d(4, 2, 3, stride=2)(ingot.randn(1, 4, 5), output_size=(12,)).shape
    ingot.Size([1, 2, 12])
    """

    dims = 1


class ConvTranspose2d(_ConvTransposeNd):
    """The gradient of `nn.Conv2d` as a layer; arguments are those of `nn.ConvTranspose1d`, sizes ints or pairs.

    >>> nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)(ingot.randn(1, 3, 4, 4)).shape
    ingot.Size([1, 2, 8, 8])
    """

    dims = 2


class ConvTranspose3d(_ConvTransposeNd):
    """The gradient of `nn.Conv3d` as a layer; arguments are those of `nn.ConvTranspose1d`, sizes ints or triples.

    >>> nn.ConvTranspose3d(2, 3, 2, stride=2)(ingot.randn(1, 2, 2, 2, 2)).shape
    ingot.Size([1, 3, 4, 4, 4])
    """

    dims = 3
