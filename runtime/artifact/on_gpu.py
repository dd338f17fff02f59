"""An artifact's code on a GPU: its weights live there, arguments are copied there, and results back where they are wanted.

Needs pycuda, and no compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["OnGpu", "lacks"]

_OLDEST = {"sm_80": (8, 0)}  # levels whose PTX later generations take, too


def lacks(level: str) -> list[str]:
    """What this machine lacks to run code for a level of GPUs: nothing where it runs."""
    from ingot.runtime.cuda import driver

    if driver.reason():
        return [f"a GPU for {level}"]
    from ingot.runtime.cuda.device import device

    return [] if _runs(level, device()) else [f"a GPU for {level} (cuda:0 is for {device().level})"]


def _runs(level: str, gpu: Any) -> bool:
    oldest = _OLDEST.get(level)
    return gpu.level == level or oldest is not None and not gpu.driver.emulated and gpu.told.compute_capability() >= oldest


class OnGpu:
    """The executable of a target on one device. RuntimeError where the device does not run it."""

    def __init__(self, code: Any, executable: dict[str, Any], index: int | None, cubin: bytes | None = None):
        from ingot.runtime.cuda.device import device
        from ingot.runtime.cuda.executable import DeviceExecutable

        self.gpu = device(index)
        loaded = DeviceExecutable(code, executable, cubin).on(self.gpu)
        self.image = loaded.image
        self.run: Callable[..., None] = loaded.run

    def uploaded(self, array: np.ndarray) -> Any:
        """A copy of an array in the device's memory, which is freed with it."""
        array = np.ascontiguousarray(array)
        buffer = self.gpu.pool.allocate(array.nbytes, self.gpu.stream())
        buffer.write(array.ctypes.data, array.nbytes)
        return buffer

    def results(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[np.dtype]) -> list[Any]:
        """Memory for results."""
        return [self.gpu.pool.allocate(math.prod(s) * d.itemsize, self.gpu.stream()) for s, d in zip(shapes, dtypes)]

    def there(self, value: Any) -> Any:
        """The memory of an Ingot tensor on this device, contiguous; None where it is elsewhere."""
        if not getattr(value, "is_cuda", False):
            return None
        from ingot.runtime.array import ready

        return ready(value.detach().to(f"cuda:{self.gpu.index}")._now())

    def tensor(self, buffer: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """A result as an Ingot tensor on the device."""
        from ingot.ir.dtypes import by_numpy
        from ingot.ir.types import tensor_type
        from ingot.runtime.array import Array
        from ingot.runtime.tape import frontend

        return frontend.wrap((Array(tensor_type(by_numpy(dtype), shape).on(self.gpu.index), buffer, None, None), None))
