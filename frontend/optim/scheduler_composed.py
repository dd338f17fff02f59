"""Schedulers made of schedulers: one after the other, or all at once."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

from ingot.optim.optimizer import Optimizer
from ingot.optim.scheduler_base import LRScheduler, set_lr
from ingot.optim.scheduler_plateau import ReduceLROnPlateau

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Composed(LRScheduler):
    """What is made of schedulers. As a part of another one that starts at a milestone, it starts anew there."""

    _schedulers: list[LRScheduler]

    def _advance(self, epoch: int | None) -> None:
        if epoch is None:
            self.step()
            return
        for group in self.optimizer.param_groups:
            set_lr(group, group["initial_lr"])
        _begin(self)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; of the schedulers their state_dicts."""
        out = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        return {**out, "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a `state_dict()`."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for s, saved in zip(self._schedulers, state_dict["_schedulers"]):
            s.load_state_dict(saved)


class SequentialLR(_Composed):
    """Schedulers one after the other, changing at the milestones, which are epochs.

    ValueError for schedulers of other optimizers, or unless there is one milestone less than schedulers.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0)
    >>> warmup = ingot.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> decay = ingot.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = ingot.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> for _ in range(5):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    0.5 0.75 1.0 0.5 0.25
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1):
        if not schedulers:
            raise ValueError(f"{type(self).__name__} expects at least one scheduler to be chained.")
        for i, s in enumerate(schedulers):
            if isinstance(s, ReduceLROnPlateau) or not hasattr(s, "optimizer"):
                raise ValueError(f"{type(self).__name__} at index {i} should have `optimizer` as its attribute, and needs no metrics")
            if s.optimizer is not optimizer:
                raise ValueError(f"{type(self).__name__} expects all schedulers to belong to the same optimizer, but index {i} does not")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"{len(schedulers)} schedulers need one milestone less than that, but got {len(milestones)}")
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:  # the schedulers each took a first step; only the first one's counts
            set_lr(group, group["initial_lr"])
        _undo_first_steps(schedulers)
        schedulers[0]._is_initial = True
        schedulers[0].step()
        schedulers[0]._is_initial = False
        self._last_lr = schedulers[0].get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Step the scheduler whose turn it is."""
        self.last_epoch += 1
        i = bisect.bisect_right(self._milestones, self.last_epoch)
        current = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            current._advance(0)
        else:
            current.step()
        self._last_lr = current.get_last_lr()


def _begin(s: LRScheduler) -> None:
    """Take the first step anew, on the rates that are set."""
    if isinstance(s, SequentialLR):
        s.last_epoch = 0
        _begin(s._schedulers[0])
    elif isinstance(s, _Composed):
        for part in s._schedulers:
            _begin(part)
    else:
        s.last_epoch = -1
        s._is_initial = True
        s._advance(None)
        s._is_initial = False
    s._last_lr = s._rates()


def _undo_first_steps(schedulers: Iterable[LRScheduler]) -> None:
    for s in schedulers:
        if hasattr(s, "_schedulers"):
            _undo_first_steps(s._schedulers)
        else:
            s.last_epoch -= 1


class ChainedScheduler(_Composed):
    """Steps several schedulers at once, each on the rate that the others left. ValueError for schedulers of other optimizers.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0)
    >>> warmup = ingot.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> decay = ingot.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = ingot.optim.lr_scheduler.ChainedScheduler([warmup, decay])
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    0.5 0.25 0.25 0.125
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        if not schedulers:
            raise ValueError(f"{type(self).__name__} expects at least one scheduler to be chained.")
        optimizer = optimizer or schedulers[0].optimizer
        for i, s in enumerate(schedulers):
            if s.optimizer is not optimizer:
                raise ValueError(f"{type(self).__name__} expects all schedulers to belong to the same optimizer, but index {i} does not")
        self._schedulers = list(schedulers)
        self.optimizer = optimizer
        self._last_lr = self._rates()

    def step(self) -> None:  # type: ignore[override]
        """Step all schedulers."""
        for s in self._schedulers:
            s.step()
        self._last_lr = self._rates()
