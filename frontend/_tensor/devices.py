"""Devices: the CPU, GPUs, and "meta", on which tensors have shape and dtype and no values."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from ingot.runtime.recorder import here

__all__ = ["device", "DeviceObjType", "CPU", "META", "as_device", "beside", "choose", "chosen", "numbered", "on_cpu", "placing"]

_KINDS = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan", "mps", "meta",
    "hpu", "mtia", "privateuseone",
)  # fmt: skip


class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda", 0)` or `device("cuda:0")`. All of torch's kinds have names.

    RuntimeError for a kind that does not exist. Devices compare equal by kind and index. As a block it is where tensors are made that
    say nothing else, and as a decorator of a function likewise: RuntimeError where none can live there.

    Tensors of "meta" have a shape and a dtype and no memory, and what is computed with them is such, too. Reading one is a
    NotImplementedError.

    >>> with ingot.device("meta"):
    ...     model = nn.Linear(1000000, 1000000)
    >>> model(ingot.empty(3, 1000000, device="meta")).shape
    ingot.Size([3, 1000000])
    """

    __slots__ = ("type", "index")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index if index is None else index
        if isinstance(type, int):
            index, type = type, "cuda"
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        kind, colon, number = type.partition(":")
        if colon:
            if index is not None or not number.isdigit():
                raise RuntimeError(f"Invalid device string: {type!r}")
            index = int(number)
        if kind not in _KINDS:
            raise RuntimeError(f"Expected one of {', '.join(_KINDS)} device type at start of device string: {type}")
        self.type = kind
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"

    def __enter__(self) -> device:
        _here.before.append(_here.device)
        try:
            choose(self)
        except RuntimeError:
            _here.before.pop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        _here.device = _here.before.pop()

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def there(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return there


DeviceObjType = device  # what annotations call it


CPU = device("cpu")
META = device("meta")


class _Here(threading.local):
    """What a thread has chosen for tensors that say nothing else, and what it had chosen outside of the blocks it is in."""

    def __init__(self) -> None:
        self.device: device | None = None
        self.before: list[device | None] = []


_here = _Here()


def chosen() -> device | None:
    """The device of the innermost block, or that of `set_default_device`; None where there is neither."""
    return _here.device


def choose(d: Any) -> None:
    """Have tensors that say nothing else made there; None: as if nothing had been chosen. RuntimeError where none can live there."""
    _here.device = None if d is None else as_device(d)


def placing(d: Any, like: Any = None) -> device:
    """Where a new tensor goes for which `d` was said: there; else where the block says; else where `like` is, or to the CPU.

    While something is traced, blocks outside say nothing: what is traced serves other calls.
    """
    if d is not None:
        return as_device(d)
    rec = here.recorder
    if _here.device is not None and (rec.capturing or not rec.tracing):
        return _here.device
    return CPU if like is None else like.device


def beside(d: Any, like: Any) -> Any:
    """What a maker of tensors like `like` is to be told where `d` was said: blocks say nothing to it."""
    return like.device if d is None else d


def on_cpu(d: Any) -> None:
    """RuntimeError where `d` is another device than the CPU. For what is made there alone."""
    if as_device(d) is not CPU:
        raise RuntimeError(f"device {d}: this is made on 'cpu' alone")


def as_device(d: Any) -> device:
    """`d` as a device that tensors can live on: None means the CPU. RuntimeError where there is none such."""
    if d is None or d is CPU:
        return CPU
    found = d if isinstance(d, device) else device(d)
    if found.type == "meta":
        return META
    if found.type == "cuda":
        return _gpu(found.index)
    if found.type != "cpu":
        raise RuntimeError(f"device {found}: there are no tensors on {found.type!r}; tensors live on 'cpu'")
    return CPU


def _gpu(index: int | None) -> device:
    """The GPU of a number, or the present one. RuntimeError, with the reason, where there is none."""
    from ingot.runtime.cuda import device as gpus
    from ingot.runtime.cuda import driver

    why = driver.reason()
    if why:
        raise RuntimeError(f"device cuda{'' if index is None else f':{index}'}: {why}")
    return numbered(gpus.device(index).index)


@functools.cache
def numbered(index: int | None) -> device:
    """The device whose number types of tensors have; None is the CPU."""
    return CPU if index is None else device("cuda", index)
