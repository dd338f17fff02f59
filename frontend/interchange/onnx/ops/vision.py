"""Images: sampling on grids, regions, boxes, columns, deformable convolutions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.convolution import paddings
from ingot.interchange.onnx.rules import Call, op
from ingot.nn import functional as F

__all__: list[str] = []


@op("AffineGrid", known=("size",))
def affine_grid(theta: Tensor, size: np.ndarray, *, align_corners: int = 0) -> Tensor:
    return F.affine_grid(theta, tuple(size.tolist()), bool(align_corners))


# ---- grids


def _folded(at: Tensor, low: float, high: float) -> Tensor:
    """Coordinates reflected until they lie within the bounds."""
    span = high - low
    if span == 0:
        return at * 0 + low
    turned = ingot.remainder(at - low, 2 * span)
    return ingot.where(turned > span, 2 * span - turned, turned) + low


def _sampled(x: Tensor, index: list[Tensor], padding: str, align: int) -> Tensor:
    """x over (N, C, *sizes) at whole coordinates of any place, (N, *out) each: (N, C, *out)."""
    sizes = x.shape[2:]
    inside: Any = None
    flat: Any = 0
    for at, n in zip(index, sizes):
        if padding == "reflection":
            at = _folded(at.to(ingot.float64), 0 if align else -0.5, n - 1 if align else n - 0.5)
            at = ingot.round(at).to(ingot.int64)
        elif padding == "zeros":
            ok = (at >= 0) & (at <= n - 1)
            inside = ok if inside is None else inside & ok
        flat = flat * n + ingot.clamp(at, 0, n - 1)
    n, c = x.shape[:2]
    out = flat.shape[1:]
    places = ingot.broadcast_to(flat.reshape((n, 1, -1)), (n, c, math.prod(out)))
    y = ingot.gather(x.reshape((n, c, -1)), 2, places).reshape((n, c, *out))
    return y if inside is None else ingot.where(inside.unsqueeze(1), y, 0).to(x.dtype)


def _cubic_weights(t: Tensor, a: float) -> list[Tensor]:
    out = []
    for k in (-1, 0, 1, 2):
        d = ingot.abs(t - k)
        near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        out.append(ingot.where(d <= 1, near, far))
    return out


@op("GridSample")
def grid_sample(x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros") -> Tensor:
    """The last dim of the grid has the coordinates of the last spatial dim first, from -1 to 1."""
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    sizes = list(x.shape[2:])
    k = len(sizes)
    at = []
    for i, n in enumerate(sizes):
        g = grid[..., k - 1 - i]
        place = (g + 1) / 2 * (n - 1) if align_corners else ((g + 1) * n - 1) / 2
        if padding_mode == "border" and mode != "cubic":
            place = ingot.clamp(place, 0, n - 1)
        elif padding_mode == "reflection" and mode != "cubic":
            place = ingot.clamp(_folded(place, 0 if align_corners else -0.5, n - 1 if align_corners else n - 0.5), 0, n - 1)
        at.append(place)
    if mode == "nearest":
        return _sampled(x, [ingot.round(p).to(ingot.int64) for p in at], padding_mode, align_corners)
    low = [ingot.floor(p) for p in at]
    if mode == "linear":
        taps = [[(lo, 1 - (p - lo)), (lo + 1, p - lo)] for p, lo in zip(at, low)]
    elif mode == "cubic":
        taps = [[(lo + d, w) for d, w in zip((-1, 0, 1, 2), _cubic_weights(p - lo, -0.75))] for p, lo in zip(at, low)]
    else:
        raise ValueError(f"the mode {mode!r}")
    total: Any = None
    for chosen in itertools.product(*taps):
        weight: Any = 1
        for _, w in chosen:
            weight = weight * w
        term = _sampled(x, [p.to(ingot.int64) for p, _ in chosen], padding_mode, align_corners) * weight.unsqueeze(1).to(x.dtype)
        total = term if total is None else total + term
    return total


# ---- regions


def _bilinear(x: Tensor, rows: Tensor, ys: Tensor, xs: Tensor) -> list[Tensor]:
    """The four weighted neighbours of points: x (N, C, H, W); rows (R,) which image; ys, xs (R, P): four of (R, C, P)."""
    h, w = x.shape[2:]
    outside = (ys < -1) | (ys > h) | (xs < -1) | (xs > w)
    ys, xs = ingot.clamp(ys, 0, h - 1), ingot.clamp(xs, 0, w - 1)
    y0, x0 = (ingot.floor(v).to(ingot.int64) for v in (ys, xs))
    y1, x1 = ingot.clamp(y0 + 1, 0, h - 1), ingot.clamp(x0 + 1, 0, w - 1)
    fy, fx = ys - y0, xs - x0
    flat = x[rows].reshape((rows.shape[0], x.shape[1], -1))
    out = []
    for at_y, wy in ((y0, 1 - fy), (y1, fy)):
        for at_x, wx in ((x0, 1 - fx), (x1, fx)):
            places = (at_y * w + at_x).unsqueeze(1)
            value = ingot.gather(flat, 2, ingot.broadcast_to(places, (flat.shape[0], flat.shape[1], places.shape[2])))
            out.append(value * ingot.where(outside, 0, wy * wx).to(x.dtype).unsqueeze(1))
    return out


@op("RoiAlign")
def roi_align_10(c: Call, x: Tensor, rois: Tensor, batch: Tensor, *, mode: str = "avg", output_height: int = 1, output_width: int = 1,
                 sampling_ratio: int = 0, spatial_scale: float = 1.0) -> Tensor:  # fmt: skip
    return _roi_align(c, x, rois, batch, mode, output_height, output_width, sampling_ratio, spatial_scale, 0.0)


@op("RoiAlign", since=16)
def roi_align(
    c: Call, x: Tensor, rois: Tensor, batch: Tensor, *, coordinate_transformation_mode: str = "half_pixel", mode: str = "avg",
    output_height: int = 1, output_width: int = 1, sampling_ratio: int = 0, spatial_scale: float = 1.0,
) -> Tensor:  # fmt: skip
    shift = 0.5 if coordinate_transformation_mode == "half_pixel" else 0.0
    return _roi_align(c, x, rois, batch, mode, output_height, output_width, sampling_ratio, spatial_scale, shift)


def _roi_align(
    c: Call, x: Tensor, rois: Tensor, batch: Tensor, mode: str, oh: int, ow: int, ratio: int, scale: float, shift: float
) -> Tensor:
    if ratio:
        return _aligned(x, rois * scale - shift, batch.to(ingot.int64), mode, oh, ow, ratio, ratio, not shift)
    boxes = c.known(rois, "the regions, where sampling_ratio is 0,") * scale - shift
    parts = []
    for i, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        height, width = (y1 - y0, x1 - x0) if shift else (max(y1 - y0, 1.0), max(x1 - x0, 1.0))
        gh, gw = max(math.ceil(height / oh), 1), max(math.ceil(width / ow), 1)
        parts.append(
            _aligned(x, ingot.narrow(rois, 0, i, 1) * scale - shift, batch[i : i + 1].to(ingot.int64), mode, oh, ow, gh, gw, not shift)
        )
    return ingot.cat(parts, 0) if parts else ingot.zeros((0, x.shape[1], oh, ow), dtype=x.dtype)


def _aligned(x: Tensor, boxes: Tensor, rows: Tensor, mode: str, oh: int, ow: int, gh: int, gw: int, at_least_one: bool) -> Tensor:
    x0, y0, x1, y1 = (boxes[:, i : i + 1] for i in range(4))
    height, width = y1 - y0, x1 - x0
    if at_least_one:
        height, width = ingot.clamp(height, min=1.0), ingot.clamp(width, min=1.0)
    ys = y0 + (ingot.arange(oh * gh).to(x.dtype) + 0.5) * (height / (oh * gh))
    xs = x0 + (ingot.arange(ow * gw).to(x.dtype) + 0.5) * (width / (ow * gw))
    n, p, q = boxes.shape[0], oh * gh, ow * gw
    py = ingot.broadcast_to(ys.unsqueeze(2), (n, p, q)).reshape((n, -1))
    px = ingot.broadcast_to(xs.unsqueeze(1), (n, p, q)).reshape((n, -1))
    corners = _bilinear(x, rows, py, px)
    shape = (n, x.shape[1], oh, gh, ow, gw)
    if mode == "max":
        best = corners[0]
        for other in corners[1:]:
            best = ingot.maximum(best, other)
        return ingot.amax(best.reshape(shape), (3, 5))
    return ingot.mean((corners[0] + corners[1] + corners[2] + corners[3]).reshape(shape), (3, 5))


@op("MaxRoiPool")
def max_roi_pool(c: Call, x: Tensor, rois: Tensor, *, pooled_shape: list[int], spatial_scale: float = 1.0) -> Tensor:
    boxes = c.known(rois, "the regions")
    ph, pw = pooled_shape
    h, w = x.shape[2:]
    parts = []
    for row in boxes.tolist():
        image, x0, y0, x1, y1 = int(row[0]), *(int(math.floor(v * spatial_scale + 0.5)) for v in row[1:])
        bh, bw = max(y1 - y0 + 1, 1) / ph, max(x1 - x0 + 1, 1) / pw
        cells = []
        for i, j in itertools.product(range(ph), range(pw)):
            top, bottom = (min(max(v + y0, 0), h) for v in (math.floor(i * bh), math.ceil((i + 1) * bh)))
            left, right = (min(max(v + x0, 0), w) for v in (math.floor(j * bw), math.ceil((j + 1) * bw)))
            empty = bottom <= top or right <= left
            cells.append(ingot.zeros(x.shape[1], dtype=x.dtype) if empty else ingot.amax(x[image, :, top:bottom, left:right], (1, 2)))
        parts.append(ingot.stack(cells, 1).reshape((x.shape[1], ph, pw)))
    return ingot.stack(parts, 0) if parts else ingot.zeros((0, x.shape[1], ph, pw), dtype=x.dtype)


# ---- boxes


@op("NonMaxSuppression", known=("most",))
def non_max_suppression(
    boxes: Tensor, scores: Tensor, most: np.ndarray | None = None, iou_threshold: Any = None, score_threshold: Any = None, *,
    center_point_box: int = 0,
) -> Tensor:  # fmt: skip
    """The best boxes of each class that overlap no better one: rows of batch, class and box, as many as there are."""
    n = scores.shape[2]
    limit = 0 if most is None else min(int(most.reshape(-1)[0]), n)
    overlap, least = (0.0 if v is None else v.reshape(()) if isinstance(v, Tensor) else float(v.reshape(-1)[0])
                      for v in (iou_threshold, score_threshold))  # fmt: skip
    alive = ingot.ones_like(scores, dtype=ingot.bool) if score_threshold is None else scores > least
    sides = _sides(boxes, bool(center_point_box))[:, None]

    def goes_on(k: Tensor, alive: Tensor, picks: Tensor) -> Tensor:
        return (k < limit) & alive.any()

    def pick(k: Tensor, alive: Tensor, picks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        best = ingot.where(alive, scores, -math.inf).argmax(2, keepdim=True)
        some = alive.any(2, keepdim=True)
        chosen = ingot.gather(sides.expand(-1, scores.shape[1], -1, -1), 2, best[..., None].expand(-1, -1, -1, 4))
        alive = alive & (_overlap(chosen, sides) <= overlap) & (ingot.arange(n) != best)
        return k + 1, alive, picks.index_copy(2, k.reshape((1,)), ingot.where(some, best, -1))

    picks = ingot.full((*scores.shape[:2], max(limit, 0)), -1)
    if limit > 0:
        picks = ingot.while_loop(goes_on, pick, (ingot.tensor(0), alive, picks))[2]
    batch, group, k = ingot.nonzero(picks >= 0, as_tuple=True)
    return ingot.stack([batch, group, picks[batch, group, k]], 1)


def _sides(boxes: Tensor, of_centers: bool) -> Tensor:
    """Low and high y, low and high x of boxes given by two corners, or by center and extents."""
    if of_centers:
        x, y, w, h = boxes.unbind(-1)
        return ingot.stack([y - h / 2, y + h / 2, x - w / 2, x + w / 2], -1)
    (y0, x0, y1, x1) = boxes.unbind(-1)
    return ingot.stack([ingot.minimum(y0, y1), ingot.maximum(y0, y1), ingot.minimum(x0, x1), ingot.maximum(x0, x1)], -1)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """The area that boxes have in common over the area of both, 0 where that is empty. By sides, which broadcast."""
    (ay0, ay1, ax0, ax1), (by0, by1, bx0, bx1) = a.unbind(-1), b.unbind(-1)
    high = (ingot.minimum(ay1, by1) - ingot.maximum(ay0, by0)).clamp(min=0)
    wide = (ingot.minimum(ax1, bx1) - ingot.maximum(ax0, bx0)).clamp(min=0)
    both = high * wide
    whole = (ay1 - ay0) * (ax1 - ax0) + (by1 - by0) * (bx1 - bx0) - both
    return ingot.where(whole > 0, both / whole, 0)


# ---- columns and deformable convolutions


@op("Col2Im", known=("image_shape", "block_shape"))
def col2im(
    x: Tensor, image_shape: np.ndarray, block_shape: np.ndarray, *, dilations: Any = None, pads: Any = None, strides: Any = None
) -> Tensor:
    """Sums of blocks at their places, the reverse of taking them out."""
    image, block = image_shape.tolist(), block_shape.tolist()
    k = len(image)
    strides, dilations, pads = strides or [1] * k, dilations or [1] * k, pads or [0] * 2 * k
    padded = [n + pads[i] + pads[i + k] for i, n in enumerate(image)]
    counts = [(n - d * (b - 1) - 1) // s + 1 for n, d, b, s in zip(padded, dilations, block, strides)]
    places = np.zeros((*block, *counts), np.int64)
    for i in range(k):
        at = np.add.outer(np.arange(block[i]) * dilations[i], np.arange(counts[i]) * strides[i])
        shape = [1] * 2 * k
        shape[i], shape[i + k] = block[i], counts[i]
        places = places * padded[i] + at.reshape(shape)
    n, c = x.shape[0], x.shape[1] // math.prod(block)
    values = x.reshape((n * c, -1))
    index = ingot.broadcast_to(ingot.from_numpy(places.reshape(1, -1)), tuple(values.shape))
    whole = ingot.scatter_add(ingot.zeros((n * c, math.prod(padded)), dtype=x.dtype), 1, index, values).reshape((n, c, *padded))
    return whole[(slice(None), slice(None)) + tuple(slice(pads[i], pads[i] + m) for i, m in enumerate(image))]


@op("DeformConv")
def deform_conv(
    x: Tensor, w: Tensor, offset: Tensor, b: Tensor | None = None, mask: Tensor | None = None, *, dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, offset_group: int = 1, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    """A convolution whose places are moved by offsets, read between the elements by linear interpolation."""
    kernel = list(w.shape[2:])
    k = len(kernel)
    strides, dilations, before, _ = paddings(x.shape[2:], kernel, strides, dilations, pads, "NOTSET")
    n, c = x.shape[:2]
    out = list(offset.shape[2:])
    each = c // offset_group
    moves = offset.reshape((n, offset_group, math.prod(kernel), k, *out))
    scales = None if mask is None else mask.reshape((n, offset_group, math.prod(kernel), *out))
    groups = x.reshape((n * offset_group, each, *x.shape[2:]))
    columns = []
    for number, place in enumerate(np.ndindex(*kernel)):
        taps = []
        for i in range(k):
            shape = [1] * (k + 1)
            shape[1 + i] = -1
            base = ingot.arange(out[i]).reshape(shape) * strides[i] - before[i] + place[i] * dilations[i]
            at = base.to(x.dtype) + moves[:, :, number, i].reshape((n * offset_group, *out))
            low = ingot.floor(at)
            taps.append([(low, 1 - (at - low)), (low + 1, at - low)])
        total: Any = None
        for chosen in itertools.product(*taps):
            weight: Any = 1
            for _, part in chosen:
                weight = weight * part
            term = _sampled(groups, [p.to(ingot.int64) for p, _ in chosen], "zeros", 0) * weight.unsqueeze(1)
            total = term if total is None else total + term
        if scales is not None:
            total = total * scales[:, :, number].reshape((n * offset_group, 1, *out))
        columns.append(total.reshape((n, c, *out)))
    windows = ingot.stack(columns, 2).reshape((n, group, -1, math.prod(out)))
    y = ingot.matmul(w.reshape((group, w.shape[0] // group, -1)), windows).reshape((n, w.shape[0], *out))
    return y if b is None else y + b.reshape((-1,) + (1,) * k)
