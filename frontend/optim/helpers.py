"""What optimizers that others wrote take from torch.optim.optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot.functions.complex import view_as_real
from ingot.grad_mode import is_grad_enabled, set_grad_enabled
from ingot.runtime.recorder import capturing

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]  # what an optimizer's `params` may be


def _default_to_fused_or_foreach(params: Sequence[Any], differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """(False, False): updates fuse where they are recorded, so none is written for lists or as one kernel."""
    return False, False


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """The kinds of devices whose steps may be counted by a tensor: all."""
    return ["cpu", "cuda"]


def _get_value(x: Any) -> Any:
    """The number in a tensor; the tensor itself in a compiled function, and what is no tensor."""
    return x.item() if isinstance(x, Tensor) and not capturing() else x


def _view_as_real(params: list[Tensor], *state_and_grads: list[Tensor]) -> None:
    """Replace the complex tensors of `params`, and what stands in their places in the other lists, by views as pairs of reals."""
    for i, p in enumerate(params):
        if p.is_complex():
            for tensors in (params, *state_and_grads):
                tensors[i] = view_as_real(tensors[i])


def _group_tensors_by_device_and_dtype(tensorlistlist: Sequence[Sequence[Tensor | None]], with_indices: bool = False) -> dict:
    """(device, dtype) of the first list's tensors -> (the lists' tensors at those places, the places).

    >>> from ingot.optim.helpers import _group_tensors_by_device_and_dtype
    >>> a, b = ingot.ones(1), ingot.ones(1, dtype=ingot.float64)
    >>> [places for _, places in _group_tensors_by_device_and_dtype([[a, b, a]], with_indices=True).values()]
    [[0, 2], [1]]
    """
    places: dict[Any, list[int]] = {}
    for i, t in enumerate(tensorlistlist[0]):
        if t is None:
            raise RuntimeError("the first list to group by device and dtype has a tensor in every place")
        places.setdefault((t.device, t.dtype), []).append(i)
    return {k: ([[ts[i] for i in at] if ts else [] for ts in tensorlistlist], at if with_indices else []) for k, at in places.items()}


def _use_grad_for_differentiable(func: Callable) -> Callable:
    """A `step` that runs with gradients where self.defaults["differentiable"], else without."""

    @functools.wraps(func)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = is_grad_enabled()
        set_grad_enabled(self.defaults["differentiable"])
        try:
            return func(self, *args, **kwargs)
        finally:
            set_grad_enabled(before)

    return step
