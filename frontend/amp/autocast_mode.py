"""`autocast`, where it is not enabled, and the questions about it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ingot.ir.dtypes import DType, bf16, f16

__all__ = [
    "autocast", "custom_bwd", "custom_fwd", "get_autocast_dtype", "get_autocast_gpu_dtype", "is_autocast_available",
    "is_autocast_cpu_enabled", "is_autocast_enabled",
]  # fmt: skip


class autocast:
    """A block, or decorated function, that computes as without it: disabled, or for a device that there is not (a UserWarning says so).

    RuntimeError where it is enabled on the CPU: operations have the dtype of their inputs, so convert these.

    >>> with ingot.autocast("cpu", enabled=False):
    ...     (ingot.ones(2) @ ingot.ones(2)).dtype
    ingot.float32
    """

    def __init__(self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device_type.partition(":")[0]
        if enabled and self.device == "cpu":
            raise RuntimeError(
                "autocast is not available on the CPU: convert the model and its inputs instead, as in model.bfloat16() and x.bfloat16(), "
                "or pass enabled=False"
            )
        if enabled:
            warnings.warn(f"User provided device_type of '{device_type}', but there is no such device. Disabling", stacklevel=2)
        self.fast_dtype = dtype or get_autocast_dtype(device_type)
        self._enabled = False

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return called


def custom_fwd(fwd: Callable | None = None, *, device_type: str = "cuda", cast_inputs: DType | None = None) -> Any:
    """A decorator for the `forward` of a custom Function: the function itself, for no autocast is ever on."""
    return fwd if fwd is not None else lambda f: f


def custom_bwd(bwd: Callable | None = None, *, device_type: str = "cuda") -> Any:
    """A decorator for the `backward` of a custom Function: the function itself, for no autocast is ever on."""
    return bwd if bwd is not None else lambda f: f


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """False: see `autocast`.

    >>> ingot.is_autocast_enabled()
    False
    """
    return False


def is_autocast_cpu_enabled() -> bool:
    """False: see `autocast`."""
    return False


def is_autocast_available(device_type: str) -> bool:
    """False, whatever the device: see `autocast`."""
    return False


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that autocast would have by default: float16 on a GPU, else bfloat16."""
    return f16 if device_type.partition(":")[0] == "cuda" else bf16


def get_autocast_gpu_dtype() -> DType:
    """float16: see `get_autocast_dtype`."""
    return f16
