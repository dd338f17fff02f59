"""ASGD: averaged stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

import ingot
from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f32, f64
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup
from ingot.optim.rule import Flags, Rule, Values, like, pow
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["ASGD"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    t = step.cast(f64)
    g = g + p * like(p, c["weight_decay"])
    eta, mu = s["eta"].cast(f64), s["mu"].cast(f64)
    p = p * like(p, 1.0 - c["lambd"] * eta) - g * like(p, eta)
    mean = s["ax"] + (p - s["ax"]) * like(p, mu)
    one = mu.eq(1.0)
    mean = OPS["select"](one.broadcast(p.shape), p, mean)
    eta = c["lr"] / pow(c["lambd"] * c["lr"] * t + 1.0, c["alpha"])
    mu = 1.0 / OPS["maximum"](t - c["t0"], t.const(1.0))
    return p, {"step": step, "eta": eta, "mu": mu, "ax": mean}


class ASGD(RuleOptimizer):
    """p -= eta * g, with eta = lr / (1 + lambd * lr * t) ** alpha; the state "ax" is the mean of p from step t0 on.

    lambd: how fast p and eta decay. Source: https://dl.acm.org/doi/10.1137/0330046.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.ASGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000, 0.8000])
    """

    rule = Rule("asgd", lambda flags: ("step", "eta", "mu", "ax"), ("lr", "lambd", "alpha", "t0", "weight_decay"), _update)

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_at_least_zero(lr=lr, weight_decay=weight_decay)
        super().__init__(
            params,
            dict(
                lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
                differentiable=differentiable, capturable=capturable,
            ),
        )  # fmt: skip

    def _state_value(self, name: str, param: Tensor, group: ParamGroup) -> Tensor:
        if name == "eta":
            return ingot.full((), float(group["lr"]), dtype=f32, device=param.device)
        if name == "mu":
            return ingot.ones((), dtype=f32, device=param.device)
        return super()._state_value(name, param, group)
