"""Activation modules."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn import init
from ingot.nn.modules.module import Module
from ingot.nn.modules.simple import REQUIRED, Functional
from ingot.nn.parameter import new_parameter

__all__ = [
    "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Hardtanh",
    "Hardswish", "Hardsigmoid", "Hardshrink", "Softshrink", "Tanhshrink", "LogSigmoid", "PReLU", "RReLU", "GLU", "Softmax", "Softmax2d",
    "LogSoftmax", "Softmin", "Threshold",
]  # fmt: skip


class ReLU(Functional):
    """max(x, 0)."""

    fn = F.relu
    settings = {"inplace": False}


class ReLU6(Functional):
    """min(max(x, 0), 6)."""

    fn = F.relu6
    settings = {"inplace": False}


class LeakyReLU(Functional):
    """x where x > 0, else negative_slope * x."""

    fn = F.leaky_relu
    settings = {"negative_slope": 0.01, "inplace": False}


class ELU(Functional):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    fn = F.elu
    settings = {"alpha": 1.0, "inplace": False}


class SELU(Functional):
    """The self-normalising ELU."""

    fn = F.selu
    settings = {"inplace": False}


class CELU(Functional):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""

    fn = F.celu
    settings = {"alpha": 1.0, "inplace": False}


class GELU(Functional):
    """x * Phi(x), or its tanh approximation."""

    fn = F.gelu
    settings = {"approximate": "none"}


class SiLU(Functional):
    """x * sigmoid(x)."""

    fn = F.silu
    settings = {"inplace": False}


class Mish(Functional):
    """x * tanh(softplus(x))."""

    fn = F.mish
    settings = {"inplace": False}


class Sigmoid(Functional):
    """1 / (1 + exp(-x))."""

    fn = F.sigmoid
    settings: dict = {}


class Tanh(Functional):
    """Hyperbolic tangent."""

    fn = F.tanh
    settings: dict = {}


class Softplus(Functional):
    """log(1 + exp(beta * x)) / beta."""

    fn = F.softplus
    settings = {"beta": 1.0, "threshold": 20.0}


class Softsign(Functional):
    """x / (1 + |x|)."""

    fn = F.softsign
    settings: dict = {}


class Hardtanh(Functional):
    """x clamped to [min_val, max_val]."""

    fn = F.hardtanh
    settings = {"min_val": -1.0, "max_val": 1.0, "inplace": False}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.max_val <= self.min_val:
            raise ValueError(f"max_val must be larger than min_val: {self.max_val} <= {self.min_val}")


class Hardswish(Functional):
    """x * hardsigmoid(x)."""

    fn = F.hardswish
    settings = {"inplace": False}


class Hardsigmoid(Functional):
    """0 below -3, 1 above 3, x / 6 + 1 / 2 between."""

    fn = F.hardsigmoid
    settings = {"inplace": False}


class Hardshrink(Functional):
    """x where |x| > lambd, else 0."""

    fn = F.hardshrink
    settings = {"lambd": 0.5}
    positional = ("lambd",)


class Softshrink(Functional):
    """x moved towards 0 by lambd."""

    fn = F.softshrink
    settings = {"lambd": 0.5}
    positional = ("lambd",)


class Tanhshrink(Functional):
    """x - tanh(x)."""

    fn = F.tanhshrink
    settings: dict = {}


class LogSigmoid(Functional):
    """log(sigmoid(x))."""

    fn = F.logsigmoid
    settings: dict = {}


class GLU(Functional):
    """a * sigmoid(b), the halves of x along dim."""

    fn = F.glu
    settings = {"dim": -1}


class Softmax(Functional):
    """exp(x) / sum(exp(x)) along dim."""

    fn = F.softmax
    settings = {"dim": None}


class LogSoftmax(Functional):
    """log(softmax(x)) along dim."""

    fn = F.log_softmax
    settings = {"dim": None}


class Softmin(Functional):
    """softmax(-x) along dim."""

    fn = F.softmin
    settings = {"dim": None}


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class Threshold(Functional):
    """x where x > threshold, else value."""

    fn = F.threshold
    settings = {"threshold": REQUIRED, "value": REQUIRED, "inplace": False}


class RReLU(Functional):
    """leaky_relu with a random slope per element in training."""

    settings = {"lower": 1 / 8, "upper": 1 / 3, "inplace": False}

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """x where x > 0, else weight * x, with a learned weight (one, or one per channel)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = new_parameter((num_parameters,), device, dtype, float(init))

    def reset_parameters(self) -> None:
        """Set every weight to `init`."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
