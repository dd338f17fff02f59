"""Convolutions and transposed convolutions in 1 to 3 dimensions, on the ops `conv` and `conv_input_grad`."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.autocast import lower
from ingot._tensor.composites import composite
from ingot._tensor.recording import record
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError
from ingot.nn.functional.padding import pad_zeros
from ingot.nn.functional.sizes import batched, ntuple, same_dtype


def _check_positive(name: str, **values: tuple[int, ...]) -> None:
    for what, v in values.items():
        if any(e <= 0 for e in v):
            raise RuntimeError(f"{name}: {what} must be positive, but got {v}")


@composite
def _conv(input: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Tensor:
    out = record(OPS["conv"], (input, weight), (stride, padding, dilation, groups))
    return out if bias is None else out + bias.reshape((-1,) + (1,) * len(stride))


def _check_bias(name: str, bias: Tensor | None, channels: int) -> None:
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ShapeError(f"{name}: expected a bias of shape [{channels}], but got {list(bias.shape)}")


def _conv_nd(name: str, n: int, input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    input, unbatched = batched(name, input, n)
    if weight.ndim != n + 2:
        raise ShapeError(f"{name}: expected a {n + 2}D weight (out, in / groups, kernel), but got shape {list(weight.shape)}")
    stride, dilation = ntuple(stride, n, "stride"), ntuple(dilation, n, "dilation")
    _check_positive(name, stride=stride, dilation=dilation, groups=(groups,))
    if input.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{name}: weight {list(weight.shape)} with groups={groups} expects {weight.shape[1] * groups} input channels, "
            f"but the input {list(input.shape)} has {input.shape[1]}"
        )
    if weight.shape[0] % groups:
        raise ShapeError(f"{name}: {weight.shape[0]} output channels are not divisible by groups={groups}")
    _check_bias(name, bias, weight.shape[0])
    same_dtype(name, input, weight=weight, bias=bias)
    pads = _padding(name, padding, tuple(weight.shape[2:]), stride, dilation)
    for i in range(n):
        reach = dilation[i] * (weight.shape[2 + i] - 1) + 1
        padded = input.shape[2 + i] + sum(pads[i])
        if padded < reach:
            raise ShapeError(f"{name}: the kernel reaches over {reach} elements in dim {i}, but the padded input has {padded}")
    out = _conv(input, weight, bias, stride, pads, dilation, groups)
    return out.squeeze(0) if unbatched else out


def _padding(name: str, padding: Any, kernel: tuple, stride: tuple, dilation: tuple) -> tuple[tuple[int, int], ...]:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    pads = ntuple(padding, len(kernel), "padding")
    if any(p < 0 for p in pads):
        raise RuntimeError(f"{name}: negative padding is not supported, but got {pads}")
    return tuple((p, p) for p in pads)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv1d` of (time, batch, channels) with a weight (kernel, in, out): (time', batch, out). ShapeError where shapes do not fit.

    >>> F.conv_tbc(ingot.ones(5, 2, 3), ingot.ones(2, 3, 4), ingot.zeros(4)).shape
    ingot.Size([4, 2, 4])
    """
    if input.ndim != 3 or weight.ndim != 3:
        raise ShapeError(f"conv_tbc: input and weight are 3-D, but got shapes {list(input.shape)} and {list(weight.shape)}")
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)


@lower
def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of (N, C, L) or (C, L) with weight (O, C / groups, K), plus bias (O): (N, O, L').

    L' = (L + 2 * padding - dilation * (K - 1) - 1) // stride + 1; padding may also be "valid" (0) or "same" (L' = L, stride 1).
    ShapeError where shapes do not fit, RuntimeError for sizes that are not positive.

    >>> F.conv1d(ingot.tensor([[1.0, 2.0, 4.0, 7.0]]), ingot.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2., 3.]])
    """
    return _conv_nd("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@lower
def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of (N, C, H, W) or (C, H, W) with weight (O, C / groups, KH, KW), plus bias (O): (N, O, H', W').

    stride, padding and dilation are ints or pairs, else as of `conv1d`.

    >>> F.conv2d(ingot.ones(1, 3, 8, 8), ingot.ones(4, 3, 3, 3), padding=1, stride=2).shape
    ingot.Size([1, 4, 4, 4])
    """
    return _conv_nd("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@lower
def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of (N, C, D, H, W) or (C, D, H, W) with weight (O, C / groups, KD, KH, KW), plus bias (O).

    stride, padding and dilation are ints or triples, else as of `conv1d`.

    >>> F.conv3d(ingot.ones(1, 2, 3, 4, 4), ingot.ones(3, 2, 2, 2, 2)).shape
    ingot.Size([1, 3, 2, 3, 3])
    """
    return _conv_nd("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@composite
def _conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    spatial: tuple,
    stride: tuple,
    pads: tuple,
    dilation: tuple,
    groups: int,
    extra: tuple,
) -> Tensor:
    shape = (input.shape[0], weight.shape[1] * groups, *spatial)
    out = record(OPS["conv_input_grad"], (input, weight), (shape, stride, pads, dilation, groups))
    if any(extra):
        out = pad_zeros(out, (0,) * out.ndim, (0, 0, *extra))
    return out if bias is None else out + bias.reshape((-1,) + (1,) * len(stride))


def _conv_transpose_nd(
    name: str, n: int, input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> Tensor:
    input, unbatched = batched(name, input, n)
    if weight.ndim != n + 2:
        raise ShapeError(f"{name}: expected a {n + 2}D weight (in, out / groups, kernel), but got shape {list(weight.shape)}")
    stride, dilation = ntuple(stride, n, "stride"), ntuple(dilation, n, "dilation")
    padding, extra = ntuple(padding, n, "padding"), ntuple(output_padding, n, "output_padding")
    _check_positive(name, stride=stride, dilation=dilation, groups=(groups,))
    if input.shape[1] != weight.shape[0] or weight.shape[0] % groups:
        raise ShapeError(f"{name}: input {list(input.shape)} does not fit weight {list(weight.shape)} with groups={groups}")
    for i in range(n):
        if not 0 <= extra[i] < max(stride[i], dilation[i]):
            raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {extra[i]} in dim {i}")
    _check_bias(name, bias, weight.shape[1] * groups)
    same_dtype(name, input, weight=weight, bias=bias)
    # output_padding takes back rows that padding cropped, and appends zeros once those are used up
    zeros = tuple(max(e - p, 0) for e, p in zip(extra, padding))
    pads = tuple((p, max(p - e, 0)) for e, p in zip(extra, padding))
    spatial = tuple((input.shape[2 + i] - 1) * stride[i] - sum(pads[i]) + dilation[i] * (weight.shape[2 + i] - 1) + 1 for i in range(n))
    if any(s < 0 for s in spatial):
        raise ShapeError(f"{name}: the output would have the negative extents {spatial}")
    out = _conv_transpose(input, weight, bias, spatial, stride, pads, dilation, groups, zeros)
    return out.squeeze(0) if unbatched else out


@lower
def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of `conv1d` as an operation: (N, C, L) or (C, L), weight (C, O / groups, K), bias (O): (N, O, L').

    L' = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1; output_padding must be less than stride or
    dilation (RuntimeError). ShapeError where shapes do not fit.

    >>> F.conv_transpose1d(ingot.tensor([[1.0, 2.0]]), ingot.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[ 1., 10.,  2., 20.]])
    """
    return _conv_transpose_nd("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@lower
def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of `conv2d` as an operation: (N, C, H, W) or (C, H, W), weight (C, O / groups, KH, KW), bias (O).

    Sizes are ints or pairs, else as of `conv_transpose1d`.

    >>> F.conv_transpose2d(ingot.ones(1, 3, 4, 4), ingot.ones(3, 2, 3, 3), stride=2, padding=1, output_padding=1).shape
    ingot.Size([1, 2, 8, 8])
    """
    return _conv_transpose_nd("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@lower
def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of `conv3d` as an operation: (N, C, D, H, W) or (C, D, H, W), weight (C, O / groups, KD, KH, KW), bias (O).

    Sizes are ints or triples, else as of `conv_transpose1d`.

    >>> F.conv_transpose3d(ingot.ones(1, 2, 2, 2, 2), ingot.ones(2, 3, 2, 2, 2), stride=2).shape
    ingot.Size([1, 3, 4, 4, 4])
    """
    return _conv_transpose_nd("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)
