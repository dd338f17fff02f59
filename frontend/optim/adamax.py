"""Adamax: Adam by the infinity norm."""

from __future__ import annotations

from collections.abc import Iterable

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f64
from ingot.ir.op import OPS
from ingot.optim.rule import Flags, Rule, Values, lerp, like, pow
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero, check_betas

__all__ = ["Adamax"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    g = g + p * like(p, c["weight_decay"])
    m = lerp(s["exp_avg"], g, 1.0 - c["beta1"])
    u = OPS["maximum"](s["exp_inf"] * like(p, c["beta2"]), OPS["abs"](g) + like(p, c["eps"]))
    rate = c["lr"] / (1.0 - pow(c["beta1"], step.cast(f64)))
    return p - m / u * like(p, rate), {"step": step, "exp_avg": m, "exp_inf": u}


class Adamax(RuleOptimizer):
    """`Adam` by the infinity norm: p -= lr * m / u with u = max(beta2 * u, |g| + eps). Source: https://arxiv.org/abs/1412.6980.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.Adamax([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000, 0.9000])
    """

    rule = Rule("adamax", lambda flags: ("step", "exp_avg", "exp_inf"), ("lr", "beta1", "beta2", "eps", "weight_decay"), _update)

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
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
                differentiable=differentiable, capturable=capturable,
            ),
        )  # fmt: skip
