"""Infinities beside the edges of a convolution: the same in a small loop and in tiles."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.op import OPS
from tests.support.calling import compare, run_compiled, run_loops
from tests.support.graphs import graph_of

GEOMETRY = dict(padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 8])  # a small loop at each point, and tiles
def test_zeros_around_a_convolution_are_values(channels: int, stride: int) -> None:
    """0 * infinity is NaN at the edges, as in torch: whatever a convolution is lowered to."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, channels, 9, 9)).astype(np.float32), rng.normal(size=(channels, channels, 3, 3)).astype(np.float32)
    w[0, 0, 0, 0] = np.inf
    conv = graph_of([x, w], lambda x, w: OPS["conv"](x, w, stride=(stride, stride), **GEOMETRY))
    (y,) = run_compiled(conv, [x, w])
    assert np.isnan(y).any()
    compare(conv, [x, w], [y])
    g = rng.normal(size=y.shape).astype(np.float32)
    g[0, 0, 0, 0] = np.inf
    grad = graph_of([x, g], lambda x, g: OPS["conv_weight_grad"](x, g, weight_shape=w.shape, stride=(stride, stride), **GEOMETRY))
    (dw,) = run_compiled(grad, [x, g])
    assert np.isnan(dw).any()
    compare(grad, [x, g], [dw])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size, out, into", [(9, 1, 1), (9, 8, 8), (9, 4, 20), (4, 512, 64)])  # small loops, tiles, and those in parts of k
@pytest.mark.parametrize("special", [np.inf, np.nan])
def test_what_a_cotangent_lacks_is_no_term(special: float, size: int, out: int, into: int, stride: int) -> None:
    """No zero that is padded or put between the elements of a cotangent meets an infinite weight, as in torch."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(out, into, 3, 3)).astype(np.float32)
    w[0, 0, 0, 0] = special
    g = rng.normal(size=(1, out, *2 * ((size - 1) // stride + 1,))).astype(np.float32)
    shape = (1, into, size, size)
    graph = graph_of([g, w], lambda g, w: OPS["conv_input_grad"](g, w, input_shape=shape, stride=(stride, stride), **GEOMETRY))
    (dx,) = run_compiled(graph, [g, w])
    assert not np.isfinite(dx[0, 0]).all() and np.isfinite(dx[0, 1:]).all() and (np.isnan(special) or not np.isnan(dx).any())
    compare(graph, [g, w], [dx])
    if w.size < 10_000:
        compare(graph, [g, w], run_loops(graph, [g, w]))


@pytest.mark.parametrize("out, into, size", [(2, 3, (3, 2)), (16, 8, (7, 9)), (64, 32, (20, 24))])  # small loops, tiles
@pytest.mark.parametrize("taps", [(2, 2), (1, 3), (2,)])
def test_windows_side_by_side(out: int, into: int, size: tuple[int, int], taps: tuple[int, ...]) -> None:
    """A transposed convolution whose windows do not meet, also between convolutions, where channels lie last."""
    spatial = size[: len(taps)]
    one = (1,) * len(taps)
    none, made = ((0, 0),) * len(taps), (2, into, *(n * t for n, t in zip(spatial, taps)))
    geometry = dict(padding=none, dilation=one, groups=1)

    def alone(g, w):
        return OPS["conv_input_grad"](g, w, input_shape=made, stride=taps, **geometry)

    def between(g, w, a, b):
        point = dict(stride=one, **geometry)
        return OPS["conv"](OPS["maximum"](alone(OPS["conv"](g, a, **point), w), b), b, **point)

    rng = np.random.default_rng(0)
    shapes = [(2, out, *spatial), (out, into, *taps), (out, out, *one), (1, into, *one)]
    arrays = [(rng.normal(size=s) / np.sqrt(s[0] if i else 1)).astype(np.float32) for i, s in enumerate(shapes)]
    arrays[1].flat[0] = np.inf
    for function, given in ((alone, arrays[:2]), (between, arrays)):
        graph = graph_of(given, function)
        compare(graph, given, run_compiled(graph, given))
        if np.prod(made) < 10_000:
            compare(graph, given, run_loops(graph, given))
