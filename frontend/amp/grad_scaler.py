"""`GradScaler`, where it is not enabled."""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["GradScaler"]


class GradScaler:
    """The scaler of losses, disabled: `scale` gives what it is given, `step` is the optimizer's.

    Enabled for CUDA it disables itself with a UserWarning, since there is no CUDA device; RuntimeError where it is enabled on the
    CPU. Gradients in float32 and bfloat16 need no scaling.

    >>> scaler = ingot.amp.GradScaler(enabled=False)
    >>> scaler.scale(ingot.ones(1)), scaler.get_scale(), scaler.is_enabled()
    (tensor([1.]), 1.0, False)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        if not isinstance(device, str):
            raise TypeError(f"GradScaler(): device is a string, not {type(device).__name__}")
        if enabled and device.partition(":")[0] == "cpu":
            raise RuntimeError("GradScaler is not available on the CPU: float32 and bfloat16 need no scaling; pass enabled=False")
        if enabled:
            warnings.warn(f"GradScaler is enabled, but there is no {device} device. Disabling.", stacklevel=2)
        self._growth = [growth_factor, backoff_factor, growth_interval]

    def scale(self, outputs: Any) -> Any:
        """`outputs`, a tensor or an iterable of tensors, as they are."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing: gradients are not scaled."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """The optimizer's step."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing: there is no scale."""

    def get_scale(self) -> float:
        """1.0."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def get_growth_factor(self) -> float:
        """As it was given."""
        return self._growth[0]

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what `get_growth_factor` gives."""
        self._growth[0] = new_factor

    def get_backoff_factor(self) -> float:
        """As it was given."""
        return self._growth[1]

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what `get_backoff_factor` gives."""
        self._growth[1] = new_factor

    def get_growth_interval(self) -> int:
        """As it was given."""
        return int(self._growth[2])

    def set_growth_interval(self, new_interval: int) -> None:
        """Set what `get_growth_interval` gives."""
        self._growth[2] = new_interval

    def state_dict(self) -> dict[str, Any]:
        """{}: what torch's gives where it is disabled."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: a scale that was saved is not used."""
