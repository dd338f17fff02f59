"""Adagrad: steps by the sum of the squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f64
from ingot.optim.group import ParamGroup, Scalars
from ingot.optim.rule import Flags, Rule, Values, like, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["Adagrad"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    g = g + p * like(p, c["weight_decay"])
    rate = c["lr"] / ((step.cast(f64) - 1.0) * c["lr_decay"] + 1.0)
    total = s["sum"] + g * g
    return p - g / (sqrt(total) + like(p, c["eps"])) * like(p, rate), {"step": step, "sum": total}


class Adagrad(RuleOptimizer):
    """p -= lr / (1 + t * lr_decay) * g / (sqrt(s) + eps), s the sum of all squared gradients and t the steps before this one.

    s starts at `initial_accumulator_value`. Source: https://jmlr.org/papers/v12/duchi11a.html.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000, 0.9000])
    """

    rule = Rule("adagrad", lambda flags: ("step", "sum"), ("lr", "lr_decay", "eps", "weight_decay"), _update)

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
        check_at_least_zero(
            lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
        )
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
            return ingot.full(tuple(param.shape), float(group["initial_accumulator_value"]), dtype=param.dtype, device=param.device)
        return super()._state_value(name, param, group)

    def _update_sparse(self, p: Tensor, grad: Any, group: ParamGroup, flags: frozenset[str], scalars: Scalars, before: list) -> None:
        if group["weight_decay"]:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        self._update_one(p, grad.to_dense(), group, flags, scalars, before)  # what got no gradient stays, here as there
