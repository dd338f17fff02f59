"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Iterable

import ingot
from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f32, f64
from ingot.optim.group import ParamGroup
from ingot.optim.rule import Flags, Rule, Values, lerp, like, pow, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero, check_betas

__all__ = ["NAdam"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    t = step.cast(f64)
    if "decoupled" in flags:
        p = p * like(p, 1.0 - c["lr"] * c["weight_decay"])
    else:
        g = g + p * like(p, c["weight_decay"])

    def momentum(at: Expr) -> Expr:
        return c["beta1"] * (1.0 - pow(at.const(0.96), at * c["momentum_decay"]) * 0.5)

    now, later = momentum(t), momentum(t + 1.0)
    product = s["mu_product"].cast(f64) * now
    m = lerp(s["exp_avg"], g, 1.0 - c["beta1"])
    v = s["exp_avg_sq"] * like(p, c["beta2"]) + g * g * like(p, 1.0 - c["beta2"])
    denom = sqrt(v / like(p, 1.0 - pow(c["beta2"], t))) + like(p, c["eps"])
    p = p - g / denom * like(p, c["lr"] * (1.0 - now) / (1.0 - product))
    p = p - m / denom * like(p, c["lr"] * later / (1.0 - product * later))
    return p, {"step": step, "mu_product": product, "exp_avg": m, "exp_avg_sq": v}


class NAdam(RuleOptimizer):
    """`Adam` whose step looks ahead along the momentum, which grows to betas[0] as 1 - 0.5 * 0.96 ** (t * momentum_decay).

    weight_decay adds weight_decay * p to the gradient, or with decoupled_weight_decay shrinks p itself.
    Source: https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8944, 0.8944])
    """

    rule = Rule(
        "nadam", lambda flags: ("step", "mu_product", "exp_avg", "exp_avg_sq"),
        ("lr", "beta1", "beta2", "eps", "weight_decay", "momentum_decay"), _update,
    )  # fmt: skip

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay,
                decoupled_weight_decay=decoupled_weight_decay, maximize=maximize, foreach=foreach, capturable=capturable,
                differentiable=differentiable,
            ),
        )  # fmt: skip

    def flags(self, group: ParamGroup) -> frozenset[str]:
        found = super().flags(group)
        return found | {"decoupled"} if group["decoupled_weight_decay"] else found

    def _state_value(self, name: str, param: Tensor, group: ParamGroup) -> Tensor:
        return ingot.ones((), dtype=f32) if name == "mu_product" else super()._state_value(name, param, group)
