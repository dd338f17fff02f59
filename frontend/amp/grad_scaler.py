"""`GradScaler`: losses scaled up, so that small gradients in float16 do not become 0, and gradients scaled back before a step."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.amp.autocast_mode import is_autocast_available
from ingot.ir.dtypes import f16
from ingot.runtime.recorder import here

__all__ = ["GradScaler"]


class GradScaler:
    """Scales losses; skips the steps whose gradients are not finite, and adapts the scale to them.

    Every `growth_interval` steps without infinities and NaN the scale grows by `growth_factor`; with them it shrinks by `backoff_factor`.
    Enabled for a device that there is not it disables itself, with a UserWarning: `scale` gives what it is given, `step` is the
    optimizer's. bfloat16 and float32 need no scaling.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer, scaler = ingot.optim.SGD([w], lr=0.5), ingot.amp.GradScaler("cpu", init_scale=8.0)
    >>> scaler.scale(w.sum()).backward()
    >>> w.grad
    tensor([8., 8.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w.detach(), scaler.get_scale()
    (tensor([0.5000, 0.5000]), 8.0)
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
        kind = device.partition(":")[0]
        if enabled and kind != "cpu" and not is_autocast_available(kind):
            warnings.warn(f"GradScaler is enabled, but there is no {device} device. Disabling.", stacklevel=2)
            enabled = False
        self._enabled = enabled
        if enabled:
            if growth_factor <= 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if backoff_factor >= 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        where = device if enabled else "cpu"
        self._scale = ingot.tensor(float(init_scale), device=where)
        self._growth_tracker = ingot.tensor(0, dtype=ingot.int32, device=where)
        self._optimizers: dict[int, tuple[str, Tensor]] = {}  # those seen since the last update: what was done, and whether it was infinite

    def scale(self, outputs: Any) -> Any:
        """`outputs`, a tensor or an iterable of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled  # type: ignore[call-arg]
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place: before they are clipped.

        RuntimeError where that was done since the last `update`; ValueError for gradients in float16, whose parameters should be float32.
        """
        if not self._enabled:
            return
        done, _ = self._optimizers.get(id(optimizer), ("nothing", None))
        if done == "unscaled":
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if done == "stepped":
            raise RuntimeError("unscale_() is being called after step().")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(g.dtype is f16 for g in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        with ingot.no_grad():
            back = (1.0 / self._scale.double()).float()
            found = ingot.tensor(False)
            for g in grads:
                found = found | ~ingot.isfinite(g).all()
                g.mul_(back.to(g.dtype) if g.dtype is ingot.float64 else back)
        if not grads:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        self._optimizers[id(optimizer)] = ("unscaled", found)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """The optimizer's step, after `unscale_` if that was not called; skipped where a gradient is infinite or NaN.

        RuntimeError for a second step since the last `update`, and for closures. In a compiled function the step is made, and
        undone where it is to be skipped.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        done, found = self._optimizers.get(id(optimizer), ("nothing", None))
        if done == "stepped":
            raise RuntimeError("step() has already been called since the last update().")
        if found is None:
            self.unscale_(optimizer)
            found = self._optimizers[id(optimizer)][1]
        self._optimizers[id(optimizer)] = ("stepped", found)
        if here.recorder.tracing:
            return _undone(found, optimizer, args, kwargs)
        return None if found.item() else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Adapt the scale to what the steps since the last time have found, or set it. AssertionError where there was none."""
        if not self._enabled:
            return
        with ingot.no_grad():
            if new_scale is not None:
                self._scale.copy_(new_scale.reshape(()) if isinstance(new_scale, Tensor) else ingot.tensor(float(new_scale)))
            else:
                if not self._optimizers:
                    raise AssertionError("No inf checks were recorded prior to update.")
                infinite = ingot.tensor(False)
                for _, found in self._optimizers.values():
                    infinite = infinite | found
                steps = self._growth_tracker + 1
                grows = steps == self._growth_interval
                larger = self._scale * self._growth_factor
                grown = ingot.where(grows & ingot.isfinite(larger), larger, self._scale)
                self._scale.copy_(ingot.where(infinite, self._scale * self._backoff_factor, grown))
                self._growth_tracker.copy_(ingot.where(infinite | grows, 0, steps).to(ingot.int32))
        self._optimizers.clear()

    def get_scale(self) -> float:
        """The scale; 1.0 where it is disabled."""
        return self._scale.item() if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """As it was given."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what `get_growth_factor` gives."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """As it was given."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what `get_backoff_factor` gives."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """As it was given."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set what `get_growth_interval` gives."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The scale, how it changes, and the steps since it last did; {} where it is disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker.item(),
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a `state_dict()`. RuntimeError for an empty one: it is of a scaler that was disabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.")
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        with ingot.no_grad():
            self._scale.fill_(state_dict["scale"])
            self._growth_tracker.fill_(state_dict["_growth_tracker"])


def _undone(found: Tensor, optimizer: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The optimizer's step, whose writes are undone where `found` is true."""
    if hasattr(optimizer, "initialize_state"):
        optimizer.initialize_state()
    held = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    held += [v for p in held if p in optimizer.state for v in optimizer.state[p].values() if isinstance(v, Tensor)]
    with ingot.no_grad():
        before = [t.detach().clone() for t in held]
        result = optimizer.step(*args, **kwargs)
        for t, old in zip(held, before):
            t.copy_(ingot.where(found, old, t.detach()))
    return result
