"""Mixed precision on CUDA devices, by its old names: see `ingot.amp`."""

from __future__ import annotations

import functools

from ingot._paths import below
from ingot.amp.autocast_mode import autocast as _autocast
from ingot.amp.autocast_mode import custom_bwd as _custom_bwd
from ingot.amp.autocast_mode import custom_fwd as _custom_fwd
from ingot.amp.grad_scaler import GradScaler as _GradScaler
from ingot.ir.dtypes import DType, f16

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

__getattr__ = below(__name__)

custom_fwd = functools.partial(_custom_fwd, device_type="cuda")
custom_bwd = functools.partial(_custom_bwd, device_type="cuda")


class autocast(_autocast):
    """`ingot.autocast` for CUDA: it disables itself, with a UserWarning, where there is no CUDA device."""

    def __init__(self, enabled: bool = True, dtype: DType = f16, cache_enabled: bool = True):
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(_GradScaler):
    """`ingot.amp.GradScaler` for CUDA."""

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
