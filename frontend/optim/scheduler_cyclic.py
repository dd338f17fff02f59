"""Schedulers that go up and down: cosine annealing, with and without restarts, cyclic, one cycle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ingot.optim.optimizer import Optimizer
from ingot.optim.scheduler_base import LRScheduler, per_group, refuse_capture, set_lr, set_momentum

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


class CosineAnnealingLR(LRScheduler):
    """lr follows half a cosine from initial_lr to eta_min over T_max epochs, and back.

    Source: https://arxiv.org/abs/1608.03983.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0)
    >>> scheduler = ingot.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    >>> for _ in range(6):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    1.0 0.8536 0.5 0.1464 0.0 0.1464
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and self.last_epoch > 0:
            return [
                self.eta_min + (base - self.eta_min) * (1 + math.cos(self.last_epoch * math.pi / self.T_max)) / 2 for base in self.base_lrs
            ]
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            return [lr + (base - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2 for base, lr in zip(self.base_lrs, self._rates())]
        now, before = 1 + math.cos(math.pi * self.last_epoch / self.T_max), 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        cosine = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * cosine for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing from initial_lr to eta_min that restarts after T_0 epochs, then after T_0 * T_mult, and so on.

    `step(epoch)` takes fractions of epochs. ValueError for T_0 or T_mult below 1. Source: https://arxiv.org/abs/1608.03983.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0)
    >>> scheduler = ingot.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> for _ in range(7):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    1.0 0.5 1.0 0.8536 0.5 0.1464 1.0
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min).__name__}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        cosine = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * cosine for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the next rates; `epoch` may be fractional, for steps within an epoch."""
        refuse_capture()
        self._step_count += 1
        self._advance(epoch)

    def _advance(self, epoch: float | None) -> None:
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            if epoch < self.T_0:
                self.T_i, self.T_cur = self.T_0, epoch
            elif self.T_mult == 1:
                self.T_cur = epoch % self.T_0
            else:
                n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
                self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
                self.T_i = self.T_0 * self.T_mult**n
        self.last_epoch = math.floor(epoch)
        for group, lr in zip(self.optimizer.param_groups, self.get_lr()):
            set_lr(group, lr)
        self._last_lr = self._rates()


class CyclicLR(LRScheduler):
    """lr goes up from base_lr to max_lr in step_size_up steps and down in step_size_down, again and again.

    mode: "triangular"; "triangular2" halves the height at every cycle, "exp_range" multiplies it by gamma at every step; or a
    scale_fn of the cycle or iteration (scale_mode). cycle_momentum: momentum (or beta1) goes the other way; ValueError where the
    optimizer has none. Source: https://arxiv.org/abs/1506.01186.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0, momentum=0.9)
    >>> scheduler = ingot.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.1, max_lr=0.5, step_size_up=2)
    >>> for _ in range(7):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    0.1 0.3 0.5 0.3 0.1 0.3 0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ):
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        down = step_size_up if step_size_down is None else step_size_down
        self.max_lrs = per_group(optimizer, max_lr, "values for max_lr")
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None or mode != "exp_range" else "iterations"
        self.cycle_momentum = cycle_momentum
        for group, lr in zip(optimizer.param_groups, per_group(optimizer, base_lr, "values for base_lr")):
            if last_epoch == -1:
                set_lr(group, lr)
            if cycle_momentum and "momentum" not in group and "betas" not in group:
                raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.base_momentums = per_group(optimizer, base_momentum, "values for base_momentum")
        self.max_momentums = per_group(optimizer, max_momentum, "values for max_momentum")
        if cycle_momentum and last_epoch == -1:
            for group, m in zip(optimizer.param_groups, self.max_momentums):
                set_momentum(group, m)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = per_group(optimizer, base_lr, "values for base_lr")

    def _scale(self, x: float) -> float:
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return {"triangular": 1.0, "triangular2": 1 / 2.0 ** (x - 1), "exp_range": self.gamma**x}[self.mode]

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self._scale(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                set_momentum(group, high - (high - low) * part * scale)
        return [base + (top - base) * part * scale for base, top in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and a scale function of one's own."""
        return {k: v for k, v in super().state_dict().items() if k != "_scale_fn_custom"}


class OneCycleLR(LRScheduler):
    """One cycle: lr rises from max_lr / div_factor to max_lr, then falls to a fraction of the start; momentum goes the other way.

    Its length is total_steps, or epochs * steps_per_epoch; pct_start of it is the rise. anneal_strategy: "cos" or "linear";
    final_div_factor: how far below the start it ends; three_phase: down as long as up, then to the end. ValueError beyond the
    last step. Source: https://arxiv.org/abs/1708.07120.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0, momentum=0.9)
    >>> scheduler = ingot.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.4)
    >>> for _ in range(5):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    0.04 1.0 0.75 0.25 0.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is not None:
            if total_steps <= 0 or not isinstance(total_steps, int):
                raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
            self.total_steps = total_steps
        else:
            if not isinstance(epochs, int) or not isinstance(steps_per_epoch, int) or epochs <= 0 or steps_per_epoch <= 0:
                raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch), as positive integers")
            self.total_steps = epochs * steps_per_epoch
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        peak, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        up, down = ("initial_lr", "max_lr", "max_momentum", "base_momentum"), ("max_lr", "min_lr", "base_momentum", "max_momentum")
        if three_phase:
            back = float(2 * pct_start * self.total_steps) - 2
            level = ("max_lr", "initial_lr", "base_momentum", "max_momentum")
            self._schedule_phases: list = [(peak, *up), (back, *level), (last, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
        else:
            self._schedule_phases = [(peak, *up), (last, *down)]
        self.anneal_strategy = anneal_strategy
        tops = per_group(optimizer, max_lr, "values for max_lr")
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
                raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
            self.use_beta1 = "betas" in optimizer.defaults
            if last_epoch == -1:
                lows = per_group(optimizer, base_momentum, "values for base_momentum")
                highs = per_group(optimizer, max_momentum, "values for max_momentum")
                for group, low, high in zip(optimizer.param_groups, lows, highs):
                    set_momentum(group, high)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)
        return (end - start) * part + start

    def get_lr(self) -> list[float]:
        n = self.last_epoch
        if n > self.total_steps:
            raise ValueError(f"Tried to step {n} times. The specified number of total steps is {self.total_steps}")
        rates = []
        for group in self.optimizer.param_groups:
            start: float = 0
            for i, (end, lr0, lr1, m0, m1) in enumerate(self._schedule_phases):
                if n <= end or i == len(self._schedule_phases) - 1:
                    part = (n - start) / (end - start)
                    rates.append(self._anneal(group[lr0], group[lr1], part))
                    if self.cycle_momentum:
                        set_momentum(group, self._anneal(group[m0], group[m1], part))
                    break
                start = end
        return rates
