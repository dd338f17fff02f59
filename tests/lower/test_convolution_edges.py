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
