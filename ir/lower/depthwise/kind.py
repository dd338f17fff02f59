"""Which contractions are depthwise convolutions."""

from __future__ import annotations

import math

from ingot.ir.facts import Contraction
from ingot.ir.graph import Node
from ingot.ir.lower.assumed import assumed
from ingot.ir.ops.form import form_of

__all__ = ["is_depthwise"]

MOST_TAPS = 128  # of a window, whose sum is one chain
MIN_CHANNELS = 4


def is_depthwise(node: Node) -> bool:
    """Whether a contraction has windows of one channel each."""
    if not isinstance(node.op.lowering, Contraction) or node.outputs[0].type.dtype.kind != "f":
        return False
    f = form_of(node)
    single = len(f.k) > 1 and f.k[-1] == 1 and all(d == 1 for d in f.n) and bool(f.order) and len(f.batch) == 2
    if not single or not all(isinstance(d, int) for d in f.k):
        return False
    return 1 < math.prod(map(assumed, f.k)) <= MOST_TAPS and assumed(f.batch[1]) >= MIN_CHANNELS
