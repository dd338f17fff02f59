"""torch's functions below its layers: norms with their statistics, cells, layers of recurrent networks, histograms, segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.functions.join import split_with_sizes
from ingot.functions.statistics import HistogramDD
from ingot.ir.size import ShapeError
from ingot.nn import functional as F
from ingot.nn.functional import conv_tbc, native_channel_shuffle
from ingot.nn.functional import recurrent as _recurrent

__all__ = [
    "_log_softmax_backward_data", "_softmax_backward_data",
    "affine_grid_generator", "alpha_dropout_", "conv_tbc", "convolution", "dropout_", "embedding_renorm_", "feature_alpha_dropout_",
    "feature_dropout", "feature_dropout_", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "gru", "gru_cell", "histogramdd", "lstm",
    "lstm_cell", "native_batch_norm", "native_channel_shuffle", "native_dropout", "native_group_norm", "native_layer_norm",
    "norm_except_dim", "nuclear_norm", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell", "_segment_reduce", "segment_reduce",
    "unsafe_split_with_sizes",
]  # fmt: skip

unsafe_split_with_sizes = split_with_sizes

# ---- gradients that custom functions ask for


def _softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of what `output = softmax(input, dim)` was taken of, in the input's dtype.

    >>> y = ingot.softmax(ingot.tensor([1.0, 2.0]), 0)
    >>> ingot._softmax_backward_data(ingot.ones(2), y, 0, y.dtype)
    tensor([0., 0.])
    """
    weighted = grad_output * output
    return (weighted - output * weighted.sum(dim, keepdim=True)).to(input_dtype)


def _log_softmax_backward_data(grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any) -> Tensor:
    """The gradient of what `output = log_softmax(input, dim)` was taken of, in the input's dtype.

    >>> y = ingot.log_softmax(ingot.tensor([1.0, 1.0]), 0)
    >>> ingot._log_softmax_backward_data(ingot.tensor([1.0, 0.0]), y, 0, y.dtype)
    tensor([ 0.5000, -0.5000])
    """
    return (grad_output - ingot.exp(output) * grad_output.sum(dim, keepdim=True)).to(input_dtype)


# ---- norms


def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(`layer_norm`, the means, the reciprocal standard deviations): no gradients by these, and extents of 1 where they were taken."""
    out = F.layer_norm(input, tuple(normalized_shape), weight, bias, eps)
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    variance, mean = ingot.var_mean(input.detach(), dims, correction=0, keepdim=True)
    return out, mean, ingot.rsqrt(variance + eps)


def native_group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(`group_norm`, the means, the reciprocal standard deviations), the latter of shape (N, group)."""
    out = F.group_norm(input, group, weight, bias, eps)
    variance, mean = ingot.var_mean(input.reshape(N, group, C // group * HxW), 2, correction=0)
    return out, mean, ingot.rsqrt(variance + eps)


def native_batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None, training: bool,
    momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(`batch_norm`, the batch's means, its reciprocal standard deviations): no gradients by these, and empty where not `training`."""
    if training:
        dims = tuple(d for d in range(input.ndim) if d != 1)
        variance, mean = ingot.var_mean(input.detach(), dims, correction=0)
        statistics = mean, ingot.rsqrt(variance + eps)
    else:
        statistics = input.new_empty(0), input.new_empty(0)
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps), *statistics


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The p-norms of the slices of `v` along `dim`, with extents of 1 elsewhere; of all of it for dim -1.

    >>> ingot.norm_except_dim(ingot.ones(2, 4), 2, 0)
    tensor([[2.],
            [2.]])
    """
    if dim == -1:
        return ingot.linalg.vector_norm(v, pow)
    return ingot.linalg.vector_norm(v, pow, tuple(d for d in range(v.ndim) if d != dim % v.ndim), keepdim=True)


def nuclear_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The sum of the singular values of matrices along two dims (the last ones).

    >>> ingot.nuclear_norm(ingot.eye(3))
    tensor(3.)
    """
    return ingot.linalg.matrix_norm(input, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim)


# ---- dropout


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """(`dropout`, the mask of what stays)."""
    if train is False or p == 0:
        return input.clone(), ingot.ones_like(input, dtype=ingot.bool)
    mask = ingot.rand(tuple(input.shape)) >= p
    return input * mask * (0.0 if p == 1 else 1 / (1 - p)), mask


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels, dim 1 of (N, C, *)."""
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    mask = F.dropout(ingot.ones((*input.shape[:2], *(1,) * (input.ndim - 2)), dtype=input.dtype), p, train)
    return input * mask


def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout`, in place."""
    return F.dropout(input, p, train, True)


def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_dropout`, in place."""
    return input.copy_(feature_dropout(input, p, train))


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout`, in place."""
    return F.alpha_dropout(input, p, train, True)


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_alpha_dropout`, in place."""
    return F.feature_alpha_dropout(input, p, train, True)


# ---- sampling, convolution, embedding

_MODES, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """`nn.functional.grid_sample`, its modes by number: bilinear, nearest, bicubic; zeros, border, reflection."""
    return F.grid_sample(input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler


def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """`nn.functional.affine_grid`."""
    return F.affine_grid(theta, size, align_corners)


def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int,
) -> Tensor:  # fmt: skip
    """A convolution, or transposed one, of as many dims as the weight has beside its channels.

    >>> ingot.convolution(ingot.ones(1, 1, 3), ingot.ones(1, 1, 2), None, [1], [0], [1], False, [0], 1)
    tensor([[[2., 2.]]])
    """
    n = weight.ndim - 2
    if n not in (1, 2, 3):
        raise ShapeError(f"convolution: the weight has 3 to 5 dims, not {weight.ndim}")
    if transposed:
        fn = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
        return fn(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return (F.conv1d, F.conv2d, F.conv3d)[n - 1](input, weight, bias, stride, padding, dilation, groups)


def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Scale the rows of a matrix at `indices` down to a norm of at most `max_norm`, in place."""
    with ingot.no_grad():
        rows = input[indices]
        norms = rows.norm(norm_type, -1, keepdim=True)
        input[indices] = ingot.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    return input


# ---- recurrent networks


def _cell(mode: str, input: Tensor, states: tuple[Tensor, ...], w_ih: Tensor, w_hh: Tensor, b_ih: Any, b_hh: Any) -> Any:
    new = _recurrent.cell(mode, input, states, w_ih, w_hh, b_ih, b_hh)
    return new[0] if len(new) == 1 else tuple(new)


def lstm_cell(input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Any:
    """One step of an LSTM over (N, I) from the states hx = (h, c): the new (h, c)."""
    return _cell("LSTM", input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


def gru_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """One step of a GRU over (N, I) from the state hx: the new state."""
    return _cell("GRU", input, (hx,), w_ih, w_hh, b_ih, b_hh)


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """One step of a plain network with tanh over (N, I) from the state hx: the new state."""
    return _cell("RNN_TANH", input, (hx,), w_ih, w_hh, b_ih, b_hh)


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """One step of a plain network with relu over (N, I) from the state hx: the new state."""
    return _cell("RNN_RELU", input, (hx,), w_ih, w_hh, b_ih, b_hh)


def _network(
    mode: str, input: Tensor, states: tuple[Tensor, ...], params: Sequence[Tensor], has_biases: bool, num_layers: int, dropout: float,
    train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Layers over (T, N, I), or (N, T, I): the outputs, then the final states of all layers and directions."""
    x = input.transpose(0, 1) if batch_first else input
    each, directions = 4 if has_biases else 2, 2 if bidirectional else 1
    finals: list[list[Tensor]] = [[] for _ in states]
    for k in range(num_layers):
        outs = []
        for d in range(directions):
            at = k * directions + d
            w = list(params[each * at : each * (at + 1)]) + [None, None]
            named = {"w_ih": w[0], "w_hh": w[1], "b_ih": w[2], "b_hh": w[3], "w_hr": None}
            y, *final = _recurrent.layer(mode, x, tuple(s[at] for s in states), named, None, bool(d))
            outs.append(y)
            for kept, f in zip(finals, final):
                kept.append(f)
        x = outs[0] if directions == 1 else ingot.cat(outs, -1)
        if dropout and train and k + 1 < num_layers:
            x = F.dropout(x, dropout)
    return (x.transpose(0, 1) if batch_first else x, *(ingot.stack(f) for f in finals))


def lstm(
    input: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What `nn.LSTM` computes, by its flat weights: (outputs, h, c). hx: (h, c), each of (layers * directions, N, hidden)."""
    return _network("LSTM", input, tuple(hx), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def gru(
    input: Tensor, hx: Tensor, params: Sequence[Tensor], has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What `nn.GRU` computes, by its flat weights: (outputs, h)."""
    return _network("GRU", input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def rnn_tanh(
    input: Tensor, hx: Tensor, params: Sequence[Tensor], has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What `nn.RNN` computes, by its flat weights: (outputs, h)."""
    return _network("RNN_TANH", input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def rnn_relu(
    input: Tensor, hx: Tensor, params: Sequence[Tensor], has_biases: bool, num_layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What `nn.RNN` with relu computes, by its flat weights: (outputs, h)."""
    return _network("RNN_RELU", input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


# ---- counting and segments


def histogramdd(
    input: Tensor, bins: Any, *, range: Sequence[float] | None = None, weight: Tensor | None = None, density: bool = False
) -> HistogramDD:
    """How many points, the rows of `input` (N, D), lie in each box: counts of D dims, and the edges of the bins of each dim.

    bins: a number for all dims, one for each, or the edges of each, a list of rising tensors. range: (low, high) of each dim, one after
    the other; without it, those of the points. Points outside do not count. density: divided by the total and the volumes.

    >>> ingot.histogramdd(ingot.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), bins=[2, 2]).hist
    tensor([[0., 1.],
            [1., 1.]])
    """
    if input.ndim < 2:
        raise ShapeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    d = input.shape[-1]
    points = input.detach().reshape(math.prod(input.shape[:-1]), d)
    if isinstance(bins, int):
        bins = [bins] * d
    if len(bins) != d:
        raise RuntimeError(f"histogramdd: expected {d} sequences of bin edges for a {d}-dimensional histogram but got {len(bins)}")
    edges = []
    for k, b in enumerate(bins):
        if isinstance(b, Tensor):
            edges.append(b)
            continue
        if b <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {b} for dimension {k}")
        low, high = (0.0, 1.0) if not points.shape[0] else (points[:, k].min().item(), points[:, k].max().item())
        if range is not None:
            low, high = range[2 * k], range[2 * k + 1]
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {k}'s range [{low}, {high}] is not finite")
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(ingot.linspace(low, high, b + 1, dtype=input.dtype))
    place = ingot.zeros(points.shape[0], dtype=ingot.int64)
    inside = ingot.ones(points.shape[0], dtype=ingot.bool)
    for k, e in enumerate(edges):
        x = points[:, k].contiguous()
        at = ingot.searchsorted(e, x, right=True) - 1
        at = ingot.where(x == e[-1], e.shape[0] - 2, at)
        inside = inside & (x >= e[0]) & (x <= e[-1])
        place = place * (e.shape[0] - 1) + at
    sizes = [e.shape[0] - 1 for e in edges]
    total = 1
    for n in sizes:
        total *= n
    weights = ingot.ones(points.shape[0], dtype=input.dtype) if weight is None else weight.reshape(-1)
    weights = ingot.where(inside, weights, 0.0) if d else ingot.zeros_like(weights)  # of no dims nothing counts, as in torch
    counts = ingot.zeros(total, dtype=input.dtype).index_add(0, ingot.where(inside, place, 0), weights).reshape(sizes)
    if density:
        counts = counts / counts.sum()
        for k, e in enumerate(edges):
            counts = counts / (e[1:] - e[:-1]).reshape([-1 if i == k else 1 for i in ingot.arange(d).tolist()])
    return HistogramDD(counts, tuple(edges))


_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin", "prod": "prod", "amax": "amax", "amin": "amin"}
_STARTS = {"sum": 0.0, "mean": 0.0, "amax": float("-inf"), "amin": float("inf"), "prod": 1.0}


def segment_reduce(
    data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices: Tensor | None = None, offsets: Tensor | None = None,
    axis: int = 0, unsafe: bool = False, initial: float | None = None,
) -> Tensor:  # fmt: skip
    """The sums ("sum"), "mean", "max", "min" or "prod" of consecutive parts of `data` along `axis`, by their lengths or offsets.

    Both are of shape (*data.shape[:axis], parts); offsets have one more, where the last part ends.
    An empty part gives `initial`, or 0 for sums, 1 for products, NaN for means, and infinities for extremes.
    RuntimeError for another reduce or axis, or unless one of lengths and offsets is given.

    >>> ingot.segment_reduce(ingot.tensor([1.0, 2.0, 3.0]), "sum", lengths=ingot.tensor([2, 0, 1]))
    tensor([3., 0., 3.])
    """
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"segment_reduce: reduce is among {', '.join(_REDUCTIONS)}; got {reduce}")
    if indices is not None or (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce: parts are cut by one of lengths and offsets")
    if lengths is None:
        assert offsets is not None
        lengths = offsets.diff()
    axis += data.ndim if axis < 0 else 0
    if lengths.ndim != axis + 1 or lengths.shape[:-1] != data.shape[:axis]:
        raise RuntimeError(f"segment_reduce: for axis {axis} of data {list(data.shape)}, lengths {list(lengths.shape)} do not fit")
    if axis:  # what is left of a row after its last part is a part too, and dropped
        rest = data.shape[axis] - lengths.sum(-1, keepdim=True)
        whole = ingot.cat([lengths, rest], -1).flatten()
        made = segment_reduce(data.flatten(0, axis), reduce, lengths=whole, initial=initial)
        return made.unflatten(0, (*data.shape[:axis], lengths.shape[-1] + 1)).narrow(axis, 0, lengths.shape[-1])
    ends = lengths.cumsum(0)
    count, n = lengths.shape[0], data.shape[0]
    part = ingot.searchsorted(ends, ingot.arange(n, dtype=ends.dtype), right=True)
    start = _STARTS[_REDUCTIONS[reduce]] if initial is None else initial
    base = ingot.full((count, *data.shape[1:]), float(start), dtype=data.dtype)
    wide = part.reshape((n,) + (1,) * (data.ndim - 1)).expand(tuple(data.shape))
    if reduce == "mean":
        size = lengths.reshape((count,) + (1,) * (data.ndim - 1)).to(data.dtype)
        total = ingot.zeros_like(base).scatter_add(0, wide, data)
        empty = float("nan") if initial is None else float(initial)
        return ingot.where(size == 0, empty, (total + (0.0 if initial is None else float(initial))) / size.clamp(min=1))
    return base.scatter_reduce(0, wide, data, _REDUCTIONS[reduce], include_self=True)


_segment_reduce = segment_reduce
