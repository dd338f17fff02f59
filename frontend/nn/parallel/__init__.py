"""Modules that are called on several devices, by torch's names; there is one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ingot._tensor.devices import on_cpu
from ingot.nn.modules.module import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


def _check(device_ids: Any, output_device: Any) -> None:
    """RuntimeError for more than one device, as there are not so many. One, by its number, is taken for the one that there is."""
    if isinstance(device_ids, Sequence) and len(device_ids) > 1:
        raise RuntimeError(f"DataParallel: device_ids names {len(device_ids)} devices, and there is one, the CPU")
    if output_device is not None and not isinstance(output_device, int):
        on_cpu(output_device)


class DataParallel(Module):
    """A module whose calls are those of `module`: with one device there is nothing to divide. Its state_dict has torch's names.

    RuntimeError for several devices.

    >>> model = nn.DataParallel(nn.Linear(2, 1))
    >>> list(model.state_dict()), model(ingot.ones(3, 2)).shape
    (['module.weight', 'module.bias'], ingot.Size([3, 1]))
    """

    def __init__(self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0):
        super().__init__()
        _check(device_ids, output_device)
        self.module = module
        self.dim = dim
        self.device_ids: list[int] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """`module(*inputs)`, on the one device that there is. RuntimeError for several devices."""
    _check(device_ids, output_device)
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))


class DistributedDataParallel(Module):
    """RuntimeError: training in several processes is not available (see `ingot.distributed`)."""

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("DistributedDataParallel: training in several processes is not available; call the module itself")
