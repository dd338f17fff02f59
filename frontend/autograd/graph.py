"""The tape's nodes, for looking at: `tensor.grad_fn`, and up to the leaves through `next_functions`."""

from ingot.runtime.tape import Node

__all__ = ["Node"]
