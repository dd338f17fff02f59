"""The optimizers. Each is its arguments, their checks, and the name of its update rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.optim.group import ParamGroup
from ingot.optim.optimizer import RuleOptimizer
from ingot.runtime.recorder import capturing

__all__ = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax"]


def _at_least_zero(**values: Any) -> None:
    for name, v in values.items():
        if not isinstance(v, Tensor) and not v >= 0.0:
            what = "learning rate" if name == "lr" else "epsilon value" if name == "eps" else f"{name} value"
            raise ValueError(f"Invalid {what}: {v}")


def _check_betas(betas: tuple[float, float]) -> None:
    for i, b in enumerate(betas):
        if not isinstance(b, Tensor) and not 0.0 <= b < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {b}")


class SGD(RuleOptimizer):
    """Stochastic gradient descent, with momentum (nesterov or not), dampening and weight decay."""

    rule = "sgd"

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        _at_least_zero(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize,
                foreach=foreach, differentiable=differentiable, fused=fused,
            ),
        )  # fmt: skip

    def _update_one(self, p: Tensor, grad: Tensor, group: ParamGroup, flags: frozenset[str], *rest: Any) -> None:
        # torch's first momentum is the gradient itself, undampened; without dampening that is what zeros give
        if group["momentum"] and group["dampening"] and self.state[p].get("momentum_buffer") is None:
            if capturing():
                raise RuntimeError("SGD with dampening: take its first step before it is compiled, since that step differs from the others")
            flags = flags | {"first"}
        super()._update_one(p, grad, group, flags, *rest)


class Adam(RuleOptimizer):
    """Adam, with amsgrad; decoupled_weight_decay=True makes it AdamW."""

    rule = "adam"

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        _at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize, foreach=foreach,
                capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=decoupled_weight_decay,
            ),
        )  # fmt: skip

    def flags(self, group: ParamGroup) -> frozenset[str]:
        found = super().flags(group)
        return found | {"decoupled"} if group["decoupled_weight_decay"] else found


class AdamW(Adam):
    """Adam with decoupled weight decay.

    >>> optimizer = ingot.optim.AdamW(nn.Linear(3, 2).parameters(), lr=3e-4)
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip


class RMSprop(RuleOptimizer):
    """RMSprop, centred or not, with momentum."""

    rule = "rmsprop"

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        _at_least_zero(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            dict(
                lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay, capturable=capturable,
                foreach=foreach, maximize=maximize, differentiable=differentiable,
            ),
        )  # fmt: skip


class Adagrad(RuleOptimizer):
    """Adagrad."""

    rule = "adagrad"

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        _at_least_zero(lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps)
        super().__init__(
            params,
            dict(
                lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value,
                foreach=foreach, maximize=maximize, differentiable=differentiable, fused=fused,
            ),
        )  # fmt: skip
        self.initialize_state()

    def _state_value(self, name: str, param: Tensor, group: ParamGroup) -> Tensor:
        if name == "sum":
            return ingot.full(tuple(param.shape), float(group["initial_accumulator_value"]), dtype=param.dtype)
        return super()._state_value(name, param, group)


class Adadelta(RuleOptimizer):
    """Adadelta."""

    rule = "adadelta"

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        _at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        super().__init__(
            params,
            dict(
                lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable, foreach=foreach,
                differentiable=differentiable,
            ),
        )  # fmt: skip


class Adamax(RuleOptimizer):
    """Adamax: Adam by the infinity norm."""

    rule = "adamax"

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        _at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        _check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
                differentiable=differentiable, capturable=capturable,
            ),
        )  # fmt: skip
