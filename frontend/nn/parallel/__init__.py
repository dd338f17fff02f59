"""Modules that are called on several devices, by torch's names; there is one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ingot._paths import below
from ingot._tensor.devices import on_cpu
from ingot.nn.modules.module import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel", "gather", "scatter"]

__getattr__ = below(__name__)


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


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """`inputs` for each device, in a tuple: there is one device, and it has all. RuntimeError for several devices."""
    _check(target_gpus, None)
    return (inputs,)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """What `scatter`, and then the calls on each device, gave, as one: there is one device. RuntimeError for several results.

    >>> nn.parallel.scatter_gather.gather(nn.parallel.scatter_gather.scatter(ingot.ones(2), [0]), 0)
    tensor([1., 1.])
    """
    if len(outputs) != 1:
        raise RuntimeError(f"gather: there are results of {len(outputs)} devices, and there is one, the CPU")
    return outputs[0]


class DistributedDataParallel(Module):
    """RuntimeError: training in several processes is not available (see `ingot.distributed`)."""

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("DistributedDataParallel: training in several processes is not available; call the module itself")
