"""How losses are reduced, and what their arguments must fit. A loss is one composite with its reduction inside: it records one node."""

from __future__ import annotations

import warnings

from ingot._tensor import Tensor


def reduction_mode(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction, checked; the two flags older code passes decide when they are given."""
    if size_average is not None or reduce is not None:
        average, reduced = size_average in (None, True), reduce in (None, True)
        reduction = ("mean" if average else "sum") if reduced else "none"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.", stacklevel=3)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """The mean or sum of the losses, or they themselves."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def check_sizes(name: str, input: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    """ValueError for weights of another shape than the input; a warning for such a target, which broadcasts."""
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise ValueError(f"{name}: weight and input must have the same shape, but got {list(weight.shape)} and {list(input.shape)}")
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{name}: using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=4,
        )
