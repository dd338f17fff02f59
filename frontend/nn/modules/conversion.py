"""Conversion of a Module's tensors: devices and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import ingot
from ingot._tensor import Tensor
from ingot._tensor.devices import META, as_device
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

    def _apply(self: C, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> C:
        """Convert every parameter, gradient and buffer by `fn`; parameters keep their identity."""
        for child in self.children() if recurse else ():
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
            if t.is_meta and device is not None and as_device(device) is not META:
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use ingot.nn.Module.to_empty() instead of ingot.nn.Module.to() "
                    "when moving module from meta to a different device."
                )
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
        """Move everything to a device without its values: from "meta" to the CPU as zeros, from there to "meta".

        recurse: with the modules below. What is there already keeps its values.

        >>> with ingot.device("meta"):
        ...     model = nn.Linear(4, 2)
        >>> model.to_empty(device="cpu").weight.shape
        ingot.Size([2, 4])
        """
        where = as_device(device)
        return self._apply(lambda t: t if t.device == where else ingot.empty_like(t, device=where), recurse)

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
