"""The tensor: a value that records what is done with it.

    metadata.py     shape, dtype, strides: what is known without computing
    devices.py      where values live
    gradients.py    requires_grad, grad, detach, hooks
    state.py        Tensor: its value, the memory it shares with views, reading it
    recording.py    operations on Tensors put on record: results, views, writes in place, numbers, casts
    composites.py   a function of several operations recorded as one
    methods.py      what `ingot.functions.methods` attaches, spelled out for type checkers
"""

from ingot._tensor.metadata import Size, get_default_dtype, set_default_dtype
from ingot._tensor.state import Tensor, is_tensor, wrap

__all__ = ["Tensor", "Size", "get_default_dtype", "set_default_dtype", "is_tensor", "wrap"]
