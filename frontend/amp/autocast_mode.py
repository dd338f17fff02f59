"""`autocast`: products in a lower dtype and losses in float32, without converting the model; and the questions about it.

Which functions compute in what is said where they are defined: see ingot/_tensor/autocast.py.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ingot._tensor.autocast import LOWER, Lower, cast_all
from ingot.ir.dtypes import DType, bf16, f16
from ingot.runtime.recorder import here

__all__ = [
    "autocast", "autocast_decrement_nesting", "autocast_increment_nesting", "clear_autocast_cache", "custom_bwd", "custom_fwd",
    "get_autocast_cpu_dtype", "get_autocast_dtype", "get_autocast_gpu_dtype", "is_autocast_available", "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled", "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled",
    "set_autocast_dtype", "set_autocast_enabled", "set_autocast_gpu_dtype",
]  # fmt: skip

_SETTINGS: dict[str, Any] = {"cuda": f16, "cache": True, "nesting": 0}


class autocast:
    """A block, or decorated function, in which products and convolutions compute in `dtype`, and losses and factorizations in float32.

    device_type: "cpu" or "cuda": what is computed there; for a device that there is not the block computes as without it, and a
        UserWarning says so.
    dtype: bfloat16 (by default on the CPU) or float16 (by default on CUDA devices); with another one a UserWarning, and the block computes
        as without it.
    enabled=False within another block turns it off. Parameters stay as they are, and so do their gradients. float64 is never changed.
    What else there is computes in the dtype of its arguments, mixed ones in the wider, as everywhere. `cache_enabled` is accepted: one
    conversion of a parameter serves all products that are computed together.

    >>> model = nn.Linear(4, 2)
    >>> with ingot.autocast("cpu"):
    ...     y = model(ingot.ones(3, 4))
    ...     loss = F.mse_loss(y, ingot.zeros(3, 2))
    >>> y.dtype, loss.dtype
    (ingot.bfloat16, ingot.float32)
    """

    def __init__(self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device_type.partition(":")[0]
        self.fast_dtype = dtype or get_autocast_dtype(device_type)
        if enabled and not is_autocast_available(self.device):
            warnings.warn(f"User provided device_type of '{device_type}', but there is no such device. Disabling", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in (bf16, f16):
            warnings.warn(
                f"In {self.device.upper()} autocast, but the target dtype {self.fast_dtype} is not supported. Disabling autocast.\n"
                f"{self.device.upper()} Autocast only supports dtype of bfloat16, float16 currently.", stacklevel=2,
            )  # fmt: skip
            enabled = False
        self._enabled = bool(enabled)
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        rec = here.recorder
        self._before.append(rec.autocast)
        if self.device in ("cpu", "cuda"):
            _set(self.device, self.fast_dtype if self._enabled else None)
        return self

    def __exit__(self, *exc: Any) -> None:
        here.recorder.autocast = self._before.pop()

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return called


def custom_fwd(fwd: Callable | None = None, *, device_type: str = "cpu", cast_inputs: DType | None = None) -> Any:
    """A decorator for the `forward` of a custom Function: its backward then computes as its forward did, see `custom_bwd`.

    cast_inputs: inside autocast, floating tensors among the arguments come in this dtype, and autocast is off within.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        now = here.recorder.autocast
        ctx._autocast = now if cast_inputs is None else None
        if cast_inputs is None or now is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *cast_all(args, cast_inputs), **cast_all(kwargs, cast_inputs))

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str = "cpu") -> Any:
    """A decorator for the `backward` of a custom Function whose `forward` has `custom_fwd`: autocast is as it was there."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        rec = here.recorder
        before, rec.autocast = rec.autocast, ctx._autocast
        try:
            return bwd(ctx, *args, **kwargs)
        finally:
            rec.autocast = before

    return backward


def _cast(value: Any, device_type: str, dtype: DType) -> Any:
    """`value` with the floating-point tensors in it in another dtype: what `custom_fwd` does with arguments."""
    return cast_all(value, dtype)


def _device(device_type: str) -> str:
    if not isinstance(device_type, str):
        raise TypeError(f"device_type is a string, not {type(device_type).__name__}")
    return device_type.partition(":")[0]


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether this thread is inside an enabled `autocast` for a device; without one, for CUDA.

    >>> with ingot.autocast("cpu"):
    ...     ingot.is_autocast_enabled("cpu"), ingot.is_autocast_enabled()
    (True, False)
    """
    return _now("cuda" if device_type is None else _device(device_type)) is not None


def is_autocast_cpu_enabled() -> bool:
    """Whether this thread is inside an enabled `autocast` for the CPU."""
    return _now("cpu") is not None


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a device: for the CPU, and for CUDA devices where there are some.

    >>> ingot.amp.is_autocast_available("cpu")
    True
    """
    kind = _device(device_type)
    if kind == "cuda":
        from ingot.runtime.cuda import driver

        return not driver.reason()
    return kind == "cpu"


def _now(kind: str) -> DType | None:
    """What is computed in on a kind of device now; None where autocast is off there."""
    state = here.recorder.autocast
    return None if state is None or kind not in ("cpu", "cuda") else getattr(state, kind)


def _set(kind: str, dtype: DType | None) -> None:
    """Have autocast compute in a dtype on a kind of device; None turns it off there."""
    state = here.recorder.autocast
    both = {"cpu": state and state.cpu, "cuda": state and state.cuda, kind: dtype}
    here.recorder.autocast = Lower.of(both["cpu"], both["cuda"])


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Turn autocast on or off in this thread, on a device; without one, on CUDA devices. Nothing where there is no such device."""
    kind, on = ("cuda", device_type) if enabled is None else (_device(device_type), enabled)
    if is_autocast_available(kind):
        _set(kind, (LOWER[0] if kind == "cpu" else _SETTINGS["cuda"]) if on else None)


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """`set_autocast_enabled` for the CPU."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype of an `autocast` that names none; within a block, the block's.

    >>> ingot.get_autocast_dtype("cpu")
    ingot.bfloat16
    """
    kind = _device(device_type)
    return _now(kind) or (LOWER[0] if kind == "cpu" else _SETTINGS["cuda"] if kind == "cuda" else bf16)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Set what `get_autocast_dtype` gives; within a block, the block's."""
    kind = _device(device_type)
    if kind == "cpu":
        LOWER[0] = dtype
    elif kind == "cuda":
        _SETTINGS["cuda"] = dtype
    if _now(kind) is not None:
        _set(kind, dtype)


def get_autocast_cpu_dtype() -> DType:
    """`get_autocast_dtype` of the CPU."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: DType) -> None:
    """`set_autocast_dtype` of the CPU."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> DType:
    """`get_autocast_dtype` of CUDA."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: DType) -> None:
    """`set_autocast_dtype` of CUDA."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """What `set_autocast_cache_enabled` set; see `autocast`."""
    return bool(_SETTINGS["cache"])


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Accepted for torch's sake: conversions are shared where products are computed together."""
    _SETTINGS["cache"] = bool(enabled)


def clear_autocast_cache() -> None:
    """Nothing: no conversion is kept."""


def autocast_increment_nesting() -> int:
    """One more than before: a count that nothing depends on."""
    _SETTINGS["nesting"] += 1
    return int(_SETTINGS["nesting"])


def autocast_decrement_nesting() -> int:
    """One less than before: a count that nothing depends on."""
    _SETTINGS["nesting"] -= 1
    return int(_SETTINGS["nesting"])
