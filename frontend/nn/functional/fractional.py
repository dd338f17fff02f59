"""Fractional max pooling: windows whose starts are drawn at random. Source: https://arxiv.org/abs/1412.6071."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.functional.pooling import with_indices
from ingot.nn.functional.sizes import batched, ntuple


def _starts(sample: Tensor, extent: int, windows: int, kernel: int) -> Tensor:
    """Where the windows of one dim begin, (N, C, windows), by numbers in [0, 1): one for each plane."""
    if windows == 1:
        return ingot.full((*sample.shape, 1), extent - kernel, dtype=ingot.int64)
    step = (extent - kernel) / (windows - 1)
    place = ingot.arange(windows, dtype=sample.dtype)
    drawn = ((sample.unsqueeze(-1) + place) * step).long() - (sample * step).long().unsqueeze(-1)
    return ingot.where(place == windows - 1, extent - kernel, drawn)


def _fractional(
    name: str, n: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any, return_indices: bool, samples: Tensor | None
) -> Any:
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    x, unbatched = batched(name, input, n)
    kernel, extents = ntuple(kernel_size, n, "kernel_size"), tuple(x.shape[2:])
    if output_size is not None:
        sizes = ntuple(output_size, n, "output_size")
    else:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        sizes = tuple(int(e * r) for e, r in zip(extents, ratios))
    for e, k, s in zip(extents, kernel, sizes):
        if s < 1 or s + k - 1 > e:
            raise RuntimeError(f"{name}: pool size {k} and output size {s} do not fit an extent of {e}")
    if samples is None:
        samples = ingot.rand(x.shape[0], x.shape[1], n, dtype=x.dtype)
    elif samples.ndim != 3 or tuple(samples.shape) != (x.shape[0], x.shape[1], n):
        raise RuntimeError(f"{name}: expected samples of shape {[x.shape[0], x.shape[1], n]}, but got {list(samples.shape)}")
    places: Tensor | None = None
    for d in range(n):  # the number of each element of each window in its plane: (N, C, sizes..., kernel elements)
        own = samples[..., d if n == 3 else n - 1 - d]
        at = _starts(own, extents[d], sizes[d], kernel[d]).unsqueeze(-1) + ingot.arange(kernel[d])
        outer = (1,) * d + (sizes[d],) + (1,) * (n - 1 - d)
        at = at.reshape((*at.shape[:2], *outer, *(1,) * d, kernel[d], *(1,) * (n - 1 - d)))
        places = at if places is None else places * extents[d] + at
    assert places is not None
    places = places.flatten(2 + n)
    flat = x.flatten(2)
    values = flat.gather(2, places.flatten(2)).reshape(tuple(places.shape))
    best = ingot.where(values.isnan(), float("inf"), values.detach()).argmax(-1, keepdim=True)
    indices = places.gather(-1, best).squeeze(-1)
    out = flat.gather(2, indices.flatten(2)).reshape(tuple(indices.shape))
    if unbatched:
        out, indices = out.squeeze(0), indices.squeeze(0)
    return (out, indices) if return_indices else out


def fractional_max_pool2d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, H, W) or (C, H, W), windows starting at random places that cover the input.

    output_size: the extents of the result, or output_ratio: these as shares of the input's (ValueError without either).
    return_indices: (values, places in the plane). RuntimeError for a kernel or an output that does not fit.

    >>> F.fractional_max_pool2d(ingot.ones(1, 2, 7, 7), 2, output_ratio=0.5).shape
    ingot.Size([1, 2, 3, 3])
    """
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """`fractional_max_pool2d` of (N, C, D, H, W) or (C, D, H, W).

    >>> F.fractional_max_pool3d(ingot.ones(1, 2, 5, 5, 5), 2, output_size=3).shape
    ingot.Size([1, 2, 3, 3, 3])
    """
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


fractional_max_pool2d_with_indices = with_indices(fractional_max_pool2d, "ingot.ones(1, 2, 4, 4), 2, 2", place=4)
fractional_max_pool3d_with_indices = with_indices(fractional_max_pool3d, "ingot.ones(1, 2, 4, 4, 4), 2, 2", place=4)
