"""Devices. There is one so far: the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["device", "CPU", "as_device"]

_KINDS = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan", "mps", "meta",
    "hpu", "mtia", "privateuseone",
)  # fmt: skip


class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda", 0)` or `device("cuda:0")`. All of torch's kinds have names.

    RuntimeError for a kind that does not exist. Devices compare equal by kind and index. As a block it is where tensors are made that
    say nothing else, and as a decorator of a function likewise: RuntimeError where none can live there.
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
        as_device(self)
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def there(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return there


CPU = device("cpu")


def as_device(d: Any) -> device:
    """`d` as a device that tensors can live on: None means the CPU. RuntimeError where there is none such."""
    if d is None or d is CPU:
        return CPU
    found = d if isinstance(d, device) else device(d)
    if found.type != "cpu":
        why = "no CUDA device is available" if found.type == "cuda" else f"there are no tensors on {found.type!r}"
        raise RuntimeError(f"device {found}: {why}; tensors live on 'cpu'")
    return CPU
