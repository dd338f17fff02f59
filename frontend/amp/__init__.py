"""Mixed precision: products in a lower dtype, losses in float32, and losses scaled for float16.

As in torch, `autocast` and `GradScaler` for CUDA disable themselves, with a warning, where there is no CUDA device.
"""

from __future__ import annotations

from ingot.amp.autocast_mode import (
    autocast,
    custom_bwd,
    custom_fwd,
    get_autocast_dtype,
    get_autocast_gpu_dtype,
    is_autocast_available,
    is_autocast_cpu_enabled,
    is_autocast_enabled,
)  # fmt: skip
from ingot.amp.grad_scaler import GradScaler

__all__ = [
    "GradScaler", "autocast", "custom_bwd", "custom_fwd", "get_autocast_dtype", "get_autocast_gpu_dtype", "is_autocast_available",
    "is_autocast_cpu_enabled", "is_autocast_enabled",
]  # fmt: skip
