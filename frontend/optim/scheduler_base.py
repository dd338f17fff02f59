"""The base of all learning-rate schedulers, and what they share."""

from __future__ import annotations

import warnings
from typing import Any

from ingot._tensor import Tensor
from ingot.optim.optimizer import Optimizer
from ingot.runtime.recorder import here

__all__ = ["LRScheduler", "number", "per_group", "refuse_capture", "set_lr", "set_momentum"]


def refuse_capture() -> None:
    """CaptureError inside a compiled function."""
    here.recorder.only_outside("a compiled function cannot make a scheduler's step: later calls would not do it again", "call it outside")


def set_lr(group: dict, value: float) -> None:
    """Set a group's rate; a tensor is written in place."""
    refuse_capture()
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(value))
    else:
        group["lr"] = value


def number(value: Any) -> float:
    """A rate as a Python number."""
    return value.item() if isinstance(value, Tensor) else value


def per_group(optimizer: Optimizer, value: Any, name: str) -> list:
    """One value for each group: `value` repeated, or a list of the right length."""
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * n
    if len(value) != n:
        raise ValueError(f"Expected {n} {name}, but got {len(value)}")
    return list(value)


def set_momentum(group: dict, value: float) -> None:
    """Set a group's momentum, or its first beta."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


class LRScheduler:
    """Sets each group's "lr" once per `step()`. A subclass defines `get_lr`, from the group's present rate or from `base_lrs`.

    Call `scheduler.step()` after `optimizer.step()`, mostly once per epoch; not inside of a compiled function (CaptureError).
    last_epoch: -1 to start; to resume, the epoch before, with "initial_lr" in the groups (else KeyError).

    >>> class Halved(ingot.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> scheduler = Halved(ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", number(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an optimizer")
        self.base_lrs = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The next rate of each group."""
        raise NotImplementedError(f"{type(self).__name__} is a subclass of LRScheduler that does not define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that are set now."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Set the next rates; with `epoch` (deprecated) those of that epoch."""
        if epoch is not None:
            warnings.warn("The epoch parameter in `scheduler.step()` was not necessary and is being deprecated.", stacklevel=2)
        refuse_capture()
        self._step_count += 1
        self._advance(epoch)

    def _advance(self, epoch: int | None) -> None:
        """Set the rates of the next epoch, or of `epoch`."""
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", None)
            values = closed() if closed is not None else self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, values):
            set_lr(group, lr)
        self._last_lr = [number(g["lr"]) for g in self.optimizer.param_groups]

    def _rates(self) -> list[float]:
        return [number(g["lr"]) for g in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a `state_dict()`."""
        self.__dict__.update(state_dict)
