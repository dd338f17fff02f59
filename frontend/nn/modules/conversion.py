"""Conversion of a Module's tensors: devices and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ingot._tensor import Tensor
from ingot._tensor.devices import as_device
from ingot.grad_mode import no_grad
from ingot.nn.modules.arguments import parse_to
from ingot.nn.modules.tree import Tree
from ingot.nn.parameter import Parameter
from ingot.runtime import epoch

__all__ = ["Convertible"]

C = TypeVar("C", bound="Convertible")


class Convertible(Tree):
    """The part of Module that converts its parameters, gradients and buffers in place."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]

    def _apply(self: C, fn: Callable[[Tensor], Tensor]) -> C:
        """Convert every parameter, gradient and buffer by `fn`; parameters keep their identity."""
        for child in self.children():
            child._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is None:
                    continue
                grad = p.grad
                p.data = fn(p.data)
                if grad is not None:
                    p.grad = fn(grad.detach()).requires_grad_(grad.requires_grad)
            for name, b in self._buffers.items():
                if b is not None:
                    self._buffers[name] = fn(b)
        epoch.bump()
        return self

    def to(self: C, *args: Any, **kwargs: Any) -> C:
        """Convert in place: `to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`. Integer tensors keep their dtype.

        >>> nn.Linear(4, 2).to(ingot.float64).weight.dtype
        ingot.float64
        """
        device, dtype, non_blocking = parse_to(args, kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype!r}")

        def convert(t: Tensor) -> Tensor:
            return t.to(
                device if device is not None else t.device, dtype if dtype is not None and t.is_floating_point() else t.dtype, non_blocking
            )

        return self._apply(convert)

    def cpu(self: C) -> C:
        """Move everything to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self: C, device: Any = None) -> C:
        """Move everything to a GPU. RuntimeError if there is none."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self: C, *, device: Any, recurse: bool = True) -> C:
        """Move everything to a device without its values: there is the CPU, where it is already. RuntimeError for another device."""
        as_device(device)
        return self

    def share_memory(self: C) -> C:
        """Move everything to memory that processes share which are forked from now on: see `Tensor.share_memory_`."""
        return self._apply(lambda t: t.share_memory_())

    def type(self: C, dst_type: Any) -> C:
        """Convert everything to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self: C) -> C:
        """Convert floating-point tensors to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self: C) -> C:
        """Convert floating-point tensors to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self: C) -> C:
        """Convert floating-point tensors to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self: C) -> C:
        """Convert floating-point tensors to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)
