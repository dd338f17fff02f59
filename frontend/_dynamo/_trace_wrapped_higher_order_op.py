"""The block in which libraries index a tensor by another under vmap, which needs none here."""

from __future__ import annotations

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex:
    """A block without effect: `x[i]` of a tensor i is an operation anyway.

    >>> with ingot._dynamo._trace_wrapped_higher_order_op.TransformGetItemToIndex():
    ...     ingot.vmap(lambda i: ingot.arange(3)[i])(ingot.tensor([2, 0]))
    tensor([2, 0])
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None
