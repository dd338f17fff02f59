"""Which contractions are depthwise convolutions, and gradients of their weights."""

from __future__ import annotations

import math

from ingot.ir.facts import Contraction
from ingot.ir.graph import Node
from ingot.ir.lower.assumed import assumed
from ingot.ir.ops.form import form_of

__all__ = ["is_depthwise", "is_depthwise_gradient"]

MOST_TAPS = 128  # of a window, whose sum is one chain
MIN_CHANNELS = 4
MOST_RESULTS = 4  # channels of the result for one of the input, of whose weight there is a gradient


def is_depthwise(node: Node) -> bool:
    """Whether a contraction has windows of one channel each."""
    if not isinstance(node.op.lowering, Contraction) or node.outputs[0].type.dtype.kind != "f":
        return False
    f = form_of(node)
    single = len(f.k) > 1 and f.k[-1] == 1 and all(d == 1 for d in f.n) and bool(f.order) and len(f.batch) == 2
    if not single or not all(isinstance(d, int) for d in f.k):
        return False
    return 1 < math.prod(map(assumed, f.k)) <= MOST_TAPS and assumed(f.batch[1]) >= MIN_CHANNELS


def is_depthwise_gradient(node: Node) -> bool:
    """Whether a contraction is the gradient of the weight of windows of one channel each."""
    if not isinstance(node.op.lowering, Contraction) or node.outputs[0].type.dtype.kind != "f":
        return False
    f = form_of(node)
    if not f.overlapping or not len(f.batch) == len(f.n) == 1 or len(f.m) < 2 or f.m[-1] != 1 or len(f.k) != len(f.m):
        return False
    few = assumed(f.n[0]) <= MOST_RESULTS and math.prod(map(assumed, f.m)) <= MOST_TAPS
    return few and all(isinstance(d, int) for d in f.m) and assumed(f.batch[0]) >= MIN_CHANNELS
