"""RAdam: Adam whose rate is rectified while the second moment is uncertain."""

from __future__ import annotations

from collections.abc import Iterable

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f64
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup
from ingot.optim.rule import Flags, Rule, Values, lerp, like, pow, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero, check_betas

__all__ = ["RAdam"]


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    t = step.cast(f64)
    if "decoupled" in flags:
        p = p * like(p, 1.0 - c["lr"] * c["weight_decay"])
    else:
        g = g + p * like(p, c["weight_decay"])
    m = lerp(s["exp_avg"], g, 1.0 - c["beta1"])
    v = s["exp_avg_sq"] * like(p, c["beta2"]) + g * g * like(p, 1.0 - c["beta2"])
    correction = 1.0 - pow(c["beta2"], t)
    longest = 2.0 / (1.0 - c["beta2"]) - 1.0  # the length of the average that the second moment tends to, and is now
    length = longest - t * pow(c["beta2"], t) * 2.0 / correction
    certain = length > 5.0
    ratio = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
    rate = sqrt(OPS["select"](certain, ratio, 1.0)) * sqrt(correction)
    scaled = OPS["select"](certain.broadcast(p.shape), like(p, rate) / (sqrt(v) + like(p, c["eps"])), p.full(1.0))
    return p - m * like(p, c["lr"] / (1.0 - pow(c["beta1"], t))) * scaled, {"step": step, "exp_avg": m, "exp_avg_sq": v}


class RAdam(RuleOptimizer):
    """`Adam`, rectified: while the variance of its rate is large the step is m alone, and later it is scaled down.

    weight_decay adds weight_decay * p to the gradient, or with decoupled_weight_decay shrinks p itself.
    Source: https://arxiv.org/abs/1908.03265.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.RAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000, 0.8000])
    """

    rule = Rule(
        "radam", lambda flags: ("step", "exp_avg", "exp_avg_sq"), ("lr", "beta1", "beta2", "eps", "weight_decay"), _update
    )  # fmt: skip

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize, foreach=foreach, capturable=capturable,
                decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable,
            ),
        )  # fmt: skip

    def flags(self, group: ParamGroup) -> frozenset[str]:
        found = super().flags(group)
        return found | {"decoupled"} if group["decoupled_weight_decay"] else found
