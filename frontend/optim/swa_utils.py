"""Averages of a model's weights while it is trained.

    averaged = ingot.optim.swa_utils.AveragedModel(model)
    for batch in batches:
        ...
        optimizer.step()
        averaged.update_parameters(model)
    ingot.optim.swa_utils.update_bn(batches, averaged)

Source: https://arxiv.org/abs/1803.05407.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.modules.module import Module
from ingot.nn.modules.normalization import _BatchNorm
from ingot.optim.optimizer import Optimizer
from ingot.optim.scheduler_base import LRScheduler, per_group

__all__ = ["AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn"]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """A function of (averages, weights, count) that moves the averages by 1 - decay towards the weights, in place.

    ValueError for a decay outside of [0, 1].

    >>> average = [ingot.zeros(1)]
    >>> ingot.optim.swa_utils.get_ema_multi_avg_fn(0.75)(average, [ingot.ones(1)], 1)
    >>> average[0]
    tensor([0.2500])
    """
    _check_decay(decay)

    def update(ema_param_list: list[Tensor], current_param_list: list[Tensor], _: Any) -> None:
        with ingot.no_grad():
            for a, p in zip(ema_param_list, current_param_list):
                a.copy_(_towards(a, p, 1 - decay))

    return update


def get_swa_multi_avg_fn() -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """A function of (averages, weights, count) that makes the averages means of one more set of weights, in place.

    >>> average = [ingot.zeros(1)]
    >>> ingot.optim.swa_utils.get_swa_multi_avg_fn()(average, [ingot.ones(1)], 3)
    >>> average[0]
    tensor([0.2500])
    """

    def update(averaged_param_list: list[Tensor], current_param_list: list[Tensor], num_averaged: Any) -> None:
        with ingot.no_grad():
            for a, p in zip(averaged_param_list, current_param_list):
                a.copy_(_towards(a, p, 1 / (num_averaged + 1)))

    return update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function of (average, weight, count) that gives decay * average + (1 - decay) * weight.

    >>> ingot.optim.swa_utils.get_ema_avg_fn(0.75)(ingot.zeros(1), ingot.ones(1), 1)
    tensor([0.2500])
    """
    _check_decay(decay)
    return lambda ema_param, current_param, num_averaged: ema_param * decay + current_param * (1 - decay)


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function of (average, weight, count) that gives the mean of count + 1 weights.

    >>> ingot.optim.swa_utils.get_swa_avg_fn()(ingot.zeros(1), ingot.ones(1), 3)
    tensor([0.2500])
    """
    return lambda averaged_param, current_param, num_averaged: averaged_param + (current_param - averaged_param) / (num_averaged + 1)


def _towards(a: Tensor, p: Tensor, weight: Any) -> Tensor:
    p = p.detach()
    return a + (p - a) * weight


class AveragedModel(Module):
    """A copy of a model, whose weights are the average of those at every `update_parameters(model)`.

    avg_fn or multi_avg_fn: how to average, one tensor or all at once (see `get_ema_multi_avg_fn`); without, the mean of all.
    use_buffers: average buffers too; otherwise they are those of the model. The count of averages is the buffer "n_averaged".

    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = ingot.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item(), averaged.n_averaged
    (3.0, tensor(3))
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: Callable[[list[Tensor], list[Tensor], Any], None] | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", ingot.tensor(0, dtype=ingot.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights of `model` into the average; the first ones are the average."""
        mine, theirs = self._weights(self.module), self._weights(model)
        with ingot.no_grad():
            if self.n_averaged == 0:
                for a, p in zip(mine, theirs):
                    a.copy_(p.detach())
            elif self.avg_fn is not None:
                for a, p in zip(mine, theirs):
                    a.copy_(self.avg_fn(a.detach(), p.detach(), self.n_averaged))
            else:
                average = self.multi_avg_fn or get_swa_multi_avg_fn()
                average([a.detach() for a in mine], [p.detach() for p in theirs], self.n_averaged)
            if not self.use_buffers:
                for a, b in zip(self.module.buffers(), model.buffers()):
                    a.detach().copy_(b.detach())
            self.n_averaged += 1

    def _weights(self, model: Module) -> list[Tensor]:
        return list(itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters())


def update_bn(loader: Iterable, model: Module, device: Any = None) -> None:
    """Compute the running means and variances of all BatchNorm layers anew, from a pass over `loader`: the mean over its batches.

    A batch is a tensor, or a list or tuple whose first item is. Modes and momenta are as before.

    >>> model = nn.BatchNorm1d(1)
    >>> ingot.optim.swa_utils.update_bn([ingot.tensor([[1.0], [3.0]]), ingot.tensor([[5.0], [7.0]])], model)
    >>> model.running_mean
    tensor([4.])
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    training, momenta = model.training, [m.momentum for m in layers]
    with ingot.no_grad():
        model.train()
        for m in layers:
            m.reset_running_stats()
            m.momentum = None
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    for m, momentum in zip(layers, momenta):
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """Moves each group's rate to swa_lr within anneal_epochs, along a cosine ("cos") or a line ("linear"), and leaves it there.

    >>> optimizer = ingot.optim.SGD([nn.Parameter(ingot.ones(1))], lr=1.0)
    >>> scheduler = ingot.optim.swa_utils.SWALR(optimizer, swa_lr=0.2, anneal_epochs=2, anneal_strategy="linear")
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    1.0 0.6 0.2 0.2
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: float | list[float], anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1
    ):
        for group, rate in zip(optimizer.param_groups, per_group(optimizer, swa_lr, "swa_lr")):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _weight(self, epoch: int) -> float:
        """How much of the way is gone at an epoch."""
        t = min(1.0, max(0.0, epoch / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        """The next rate of each group, from its present one."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._weight(max(0, step - 1)), self._weight(step)
        rates = []
        for group in self.optimizer.param_groups:
            target, lr = group["swa_lr"], group["lr"]
            start = target if before == 1 else (lr - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates
