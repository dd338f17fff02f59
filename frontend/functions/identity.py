"""What torch answers about tensors and itself, and tensors that are made by their place in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot
from ingot._refused import refused, refused_class
from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot.ir.dtypes import DType
from ingot.runtime import backward

__all__ = [
    "Event", "Stream", "as_strided_", "compiled_with_cxx11_abi", "empty_permuted", "empty_strided", "from_file",
    "get_deterministic_debug_mode",
    "get_device", "get_device_module", "init_num_threads", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_distributed",
    "is_inference", "is_warn_always_enabled", "resize_as_", "set_anomaly_enabled", "set_deterministic_debug_mode", "set_warn_always",
    "thread_safe_generator",
]  # fmt: skip

_NO_STREAMS = "there are no streams on the CPU: what is recorded runs in order"
Stream, Event = refused_class("Stream", _NO_STREAMS), refused_class("Event", _NO_STREAMS)
_ASKED: dict[str, Any] = {"debug": 0, "warn": False}


def get_device(input: Tensor) -> int:
    """The number of the GPU that the tensor lives on; -1 for the CPU.

    >>> ingot.get_device(ingot.ones(1))
    -1
    """
    return input.get_device()


def is_distributed(input: Tensor) -> bool:
    """False."""
    return False


def is_inference(input: Tensor) -> bool:
    """False: tensors made in inference mode are ordinary ones."""
    return False


def as_strided_(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """`as_strided`, in place.

    >>> ingot.as_strided_(ingot.arange(4), (2,), (2,))
    tensor([0, 2])
    """
    return input.as_strided_(size, stride, storage_offset)


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """Give a tensor the shape of another one, in place: see `Tensor.resize_`."""
    return input.resize_as_(the_template)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on, see `ingot.autograd.detect_anomaly`."""
    return bool(backward.anomaly[0])


is_anomaly_check_nan_enabled = is_anomaly_enabled


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Turn anomaly mode on or off, see `ingot.autograd.set_detect_anomaly`."""
    backward.anomaly[0] = bool(enabled and check_nan)


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` set."""
    return bool(_ASKED["warn"])


def set_warn_always(b: bool, /) -> None:
    """Accepted for torch's sake: Python's own filters say how often a warning is shown."""
    _ASKED["warn"] = bool(b)


def get_deterministic_debug_mode() -> int:
    """What `set_deterministic_debug_mode` set."""
    return int(_ASKED["debug"])


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Accepted for torch's sake: results are the same bits on every run. RuntimeError for no such mode.

    >>> ingot.set_deterministic_debug_mode("warn")
    >>> ingot.get_deterministic_debug_mode()
    1
    """
    modes = {"default": 0, "warn": 1, "error": 2}
    mode = modes.get(debug_mode) if isinstance(debug_mode, str) else debug_mode
    if mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, 2 or `default`, `warn`, `error`, but got {debug_mode}")
    _ASKED["debug"] = mode


def compiled_with_cxx11_abi() -> bool:
    """True: there is no C++ in Ingot that another ABI could be a matter for."""
    return True


def init_num_threads() -> None:
    """Nothing: the pool has its threads when it starts."""


thread_safe_generator = refused("thread_safe_generator", "random streams are counted, and each thread that needs its own makes a Generator")


def get_device_module(device: Any = None) -> Any:
    """The module of a device: `ingot.cpu`, or `ingot.cuda` for "cuda". RuntimeError for one that there is not.

    >>> ingot.get_device_module("cpu").__name__
    'ingot.cpu'
    """
    kind = "cpu" if device is None else str(device).partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise RuntimeError(f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'.")
    return getattr(ingot, kind)


def empty_strided(
    size: Sequence[int], stride: Sequence[int], *, dtype: DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of these extents and strides, whose values are not defined.

    >>> ingot.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    n = 0 if 0 in size else 1 + sum((e - 1) * s for e, s in zip(size, stride))
    made = ingot.empty(n, dtype=dtype, device=device).as_strided(tuple(size), tuple(stride))
    return made.requires_grad_() if requires_grad else made


def empty_permuted(
    size: Sequence[int], physical_layout: Sequence[int], *, dtype: DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of these extents, whose dims lie in memory in the order physical_layout, the slowest first; values are not defined.

    >>> ingot.empty_permuted((2, 3), (1, 0)).stride()
    (1, 2)
    """
    order = list(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(f"Number of dimensions in size does not match the length of the physical_layout; i.e. {list(size)}, {order}")
    made = ingot.empty([size[d] for d in order], dtype=dtype, device=device).permute([order.index(d) for d in range(len(order))])
    return made.requires_grad_() if requires_grad else made


def from_file(
    filename: str | os.PathLike[str], shared: bool | None = None, size: int = 0, *, dtype: DType | None = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The first `size` elements of a file, mapped: writes go to the file if `shared`, which is then made as long as it must be.

    OSError where it cannot be opened, RuntimeError where it is too short.

    >>> x = ingot.from_file("numbers.bin", shared=True, size=2)
    >>> x.fill_(3.0)
    tensor([3., 3.])
    >>> np.fromfile("numbers.bin", np.float32)
    array([3., 3.], dtype=float32)
    """
    d = dtype or ingot.get_default_dtype()
    need = size * d.itemsize
    if shared:
        with open(filename, "ab") as f:
            if f.tell() < need:
                f.truncate(need)
    elif os.path.getsize(filename) < need:
        raise RuntimeError(f"from_file: {os.fspath(filename)} has fewer than {need} bytes")
    if not size:
        return ingot.empty(0, dtype=d)
    array = np.memmap(filename, d.numpy, "r+" if shared else "c", shape=(size,))
    made = from_array(np.asarray(array), d, share=True)
    return made.requires_grad_() if requires_grad else made


