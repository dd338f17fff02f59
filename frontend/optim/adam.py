"""Adam and AdamW: steps by the first and second moments of the gradient."""

from __future__ import annotations

from collections.abc import Iterable

from ingot._tensor import Tensor
from ingot.ir.builder import Expr
from ingot.ir.dtypes import f64
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup
from ingot.optim.rule import Flags, Rule, Values, lerp, like, pow, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero, check_betas

__all__ = ["Adam", "AdamW"]


def _state(flags: Flags) -> tuple[str, ...]:
    return ("step", "exp_avg", "exp_avg_sq") + (("max_exp_avg_sq",) if "amsgrad" in flags else ())


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    t = step.cast(f64)
    if "decoupled" in flags:
        p = p * like(p, 1.0 - c["lr"] * c["weight_decay"])
    else:
        g = g + p * like(p, c["weight_decay"])
    m = lerp(s["exp_avg"], g, 1.0 - c["beta1"])
    v = s["exp_avg_sq"] * like(p, c["beta2"]) + g * g * like(p, 1.0 - c["beta2"])
    new = {"step": step, "exp_avg": m, "exp_avg_sq": v}
    largest = v
    if "amsgrad" in flags:
        largest = new["max_exp_avg_sq"] = OPS["maximum"](s["max_exp_avg_sq"], v)
    step_size = c["lr"] / (1.0 - pow(c["beta1"], t))
    root = sqrt(1.0 - pow(c["beta2"], t))
    denom = sqrt(largest) / like(p, root) + like(p, c["eps"])
    return p - m / denom * like(p, step_size), new


class Adam(RuleOptimizer):
    """p -= lr * m / (sqrt(v) + eps), m and v the bias-corrected running means of the gradient and of its square.

    betas: how much of each mean stays at a step. amsgrad: the largest v so far (https://openreview.net/forum?id=ryQu7f-RZ).
    weight_decay adds weight_decay * p to the gradient, or with decoupled_weight_decay shrinks p itself, as `AdamW` does.
    Source: https://arxiv.org/abs/1412.6980.

    >>> w = nn.Parameter(ingot.ones(2))
    >>> optimizer = ingot.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000, 0.9000])
    """

    rule = Rule("adam", _state, ("lr", "beta1", "beta2", "eps", "weight_decay"), _update)

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
        check_at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
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
    """`Adam` with decoupled weight decay: p is first multiplied by 1 - lr * weight_decay. Source: https://arxiv.org/abs/1711.05101.

    >>> model = nn.Linear(3, 2)
    >>> decayed, rest = [model.weight], [model.bias]
    >>> optimizer = ingot.optim.AdamW([{"params": decayed}, {"params": rest, "weight_decay": 0.0}], lr=3e-4)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
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
