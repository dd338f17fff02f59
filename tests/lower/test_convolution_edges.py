"""Infinities beside the edges of a convolution: the same in a small loop and in tiles."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir.op import OPS
from tests.support.calling import compare, run_compiled
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
def test_what_a_cotangent_lacks_is_no_term(stride: int) -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(1, 1, 3, 3)).astype(np.float32)
    w[0, 0, 0, 0] = np.inf
    g = rng.normal(size=(1, 1, *{1: (9, 9), 2: (5, 5)}[stride])).astype(np.float32)
    graph = graph_of([g, w], lambda g, w: OPS["conv_input_grad"](g, w, input_shape=(1, 1, 9, 9), stride=(stride, stride), **GEOMETRY))
    (dx,) = run_compiled(graph, [g, w])
    assert not np.isnan(dx).any()
    compare(graph, [g, w], [dx])
